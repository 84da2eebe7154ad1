import { expect, test } from 'vitest';
import { connectionOf } from './address.ts';

test.each([
  ['libvirt:', {}, 'qemu:///system', true],
  ['libvirt:', { LIBVIRT_DEFAULT_URI: '' }, 'qemu:///system', true],
  ['libvirt:', { LIBVIRT_DEFAULT_URI: 'qemu:///session' }, 'qemu:///session', true],
  ['libvirt:', { LIBVIRT_DEFAULT_URI: 'qemu+tls://node2/system' }, 'qemu+tls://node2/system', false],
  ['libvirt:?connect=xen:///system', { LIBVIRT_DEFAULT_URI: 'qemu:///session' }, 'xen:///system', true],
  ['libvirt+ssh://node2', {}, 'qemu+ssh://node2/system?no_tty=1', false],
  ['libvirt+ssh://root@node2:2222/session?keyfile=/k&no=', {}, undefined, false],
  ['libvirt+ssh://root@node2:2222/session?keyfile=/k', {}, 'qemu+ssh://root@node2:2222/session?keyfile=%2Fk&no_tty=1', false],
])('%s with %j is %s', (address, env, uri, isLocal) => {
  if (uri === undefined) expect(() => connectionOf(new URL(address), env)).toThrow('"no" is not an option of such an address');
  else expect(connectionOf(new URL(address), env)).toEqual({ uri, isLocal });
});

test.each([
  ['libvirt://node2', 'write libvirt+ssh://node2'],
  ['libvirt:///a', '"/a" is not part of a source'],
  ['libvirt:?uri=x', '"uri" is not an option of such an address'],
  ['libvirt:?connect=nonsense', 'the connection URI of libvirt is not valid'],
  ['libvirt:?connect=qemu%2Bssh://a:secret@b/system', 'must not have a password'],
  ['libvirt+ssh://', 'the host is missing'],
  ['libvirt+ssh://-oProxyCommand=x', 'neither host nor user may start with a dash'],
  ['libvirt+ssh://-l@node2', 'neither host nor user may start with a dash'],
  ['libvirt+ssh://%2DoProxyCommand=x', 'neither host nor user may start with a dash'],
  ['libvirt+ssh://%2Dl@node2', 'neither host nor user may start with a dash'],
  ['libvirt:?connect=qemu%2Bssh%3A%2F%2F-oProxyCommand=x%2Fsystem', 'neither host nor user may start with a dash'],
  ['libvirt+ssh://%zz@node2', 'is not followed by two hexadecimal digits'],
  ['libvirt+ssh://node2/other', '"/other" is neither /system nor /session'],
  ['libvirt+ssh://node2?command=/tmp/x', '"command" is not an option of such an address'],
  ['libvirt+ssh://root:secret@node2', 'an address never has a password'],
])('%s is not valid, and no message has a secret', (address, message) => {
  const failure = (): unknown => {
    try {
      return connectionOf(new URL(address), {});
    } catch (error) {
      return error;
    }
  };
  expect(failure()).toMatchObject({ code: 'invalid-address', message: expect.stringContaining(message) });
  expect(String(failure())).not.toContain('secret');
});
