import { expect, test } from 'vitest';

import { qmpSocket } from './find-monitor.ts';

test.each([
  ['as Ganeti writes it', '-qmp unix:/run/ganeti/kvm-hypervisor/ctrl/web1.qmp,server,nowait', '/run/ganeti/kvm-hypervisor/ctrl/web1.qmp'],
  ['with two dashes', '--qmp unix:/run/q,server=on', '/run/q'],
  ['with a comma in the path', '-qmp unix:/run/a,,b,server=on', '/run/a,b'],
  ['a monitor of a character device', '-chardev socket,id=m0,path=/run/q,server=on,wait=off -mon chardev=m0,mode=control', '/run/q'],
  ['a monitor named first', '-mon m0,mode=control -chardev socket,id=m0,path=/run/q', '/run/q'],
  ['a monitor for humans', '-chardev socket,id=m0,path=/run/q -mon chardev=m0,mode=readline', undefined],
  ['-monitor, for humans', '-monitor unix:/run/q,server', undefined],
  ['a socket that is a descriptor, as libvirt does it', '-chardev socket,id=m0,fd=20,server=on -mon chardev=m0,mode=control', undefined],
  ['on standard input', '-qmp stdio', undefined],
  ['over TCP', '-qmp tcp:localhost:4444,server', undefined],
  ['a value that is missing', '-qmp', undefined],
])('%s', (_, line, expected) => {
  expect(qmpSocket(line.split(' '))).toBe(expected);
});
