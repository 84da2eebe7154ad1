import { expect, test } from 'vitest';
import { copyCommand } from './copy-command.ts';

test('a Gantry with its own Node says how to copy it to a peer', () => {
  expect(copyCommand('ssh://root@node2:2222', '/usr/lib/gantry/node')).toBe(
    "tar -C /usr -c bin/gantry lib/gantry | ssh 'ssh://root@node2:2222' tar -C /usr/local -x",
  );
  expect(copyCommand('ssh://[fe80::1%eth0]', '/opt/gantry-0.1.0/lib/gantry/node')).toMatch(
    /^tar -C \/opt\/gantry-0\.1\.0 .*\[fe80::1%eth0]/,
  );
});

test.each([
  ['another Node', 'ssh://node2', '/usr/bin/node'],
  ['a path that a shell would interpret', 'ssh://node2', '/srv/$(x)/lib/gantry/node'],
  ['an address that a shell would interpret', "ssh://node2'; x'", '/usr/lib/gantry/node'],
  ['a peer that is not reached by ssh', 'the source', '/usr/lib/gantry/node'],
])('but not with %s', (_, peer, node) => {
  expect(copyCommand(peer, node)).toBeUndefined();
});
