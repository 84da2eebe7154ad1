import { expect, test } from 'vitest';
import { sampleInstance } from '../../test/sample-instance.ts';
import type { InstanceOverrides } from './override-instance.ts';
import { overrideInstance } from './override-instance.ts';

const INSTANCE = sampleInstance({
  os: 'raw',
  osparams: { a: '1', b: '2' },
  disks: [{ path: '/srv/0.img', access: 'rw', size: 10, backend_type: 'file:loop', name: 'root' }],
  nics: [{ mac: 'aa:00:00:35:4c:01', mode: 'bridged', link: 'br0', ip: '192.0.2.1' }],
});

function override(overrides: InstanceOverrides): ReturnType<typeof overrideInstance> {
  return overrideInstance(INSTANCE, overrides, { baseDirectory: '/base', source: 'here' });
}

test('replaces what is given, and keeps the rest', () => {
  expect(override({})).toEqual(INSTANCE);
  expect(override({ name: 'web2', os: 'mine+x', osparams: { b: '3', c: '' } })).toMatchObject({
    name: 'web2',
    os: 'mine+x',
    osparams: { a: '1', b: '3', c: '' },
    disks: INSTANCE.disks,
  });
});

test('a disk with another path is another disk: its size and kind are not kept; the next index adds one', () => {
  const paths = new Map([
    [1, '/srv/1.img'],
    [0, 'new.img'],
  ]);
  expect(override({ disks: paths }).disks).toEqual([
    { path: '/base/new.img', access: 'rw', name: 'root' },
    { path: '/srv/1.img', access: 'rw' },
  ]);
});

test('a disk can get a URI', () => {
  expect(override({ disks: new Map([[0, 'qcow2:/srv/a.qcow2']]) }).disks).toEqual([
    { uri: 'qcow2:/srv/a.qcow2', access: 'rw', name: 'root' },
  ]);
});

test('a NIC gets other fields, and a new MAC address in the range of the old one', () => {
  const [nic] = override({ nics: new Map([[0, { mac: 'generate', link: 'br1' }]]) }).nics;
  expect(nic).toMatchObject({ link: 'br1', ip: '192.0.2.1', mac: expect.stringMatching(/^aa:00:00(:[0-9a-f]{2}){3}$/) });
  expect(nic?.mac).not.toBe('aa:00:00:35:4c:01');
  const added = override({ nics: new Map([[1, { mac: 'generate' }]]) }).nics[1];
  expect(added?.mac).toMatch(/^52:54:00(:[0-9a-f]{2}){3}$/);
});

test.each([
  ['a disk beyond the next', { disks: new Map([[3, '/x']]) }, 'DISK_UNKNOWN', /the next is disk 1, and not disk 3/],
  ['a NIC beyond the next', { nics: new Map([[2, { mac: 'generate' }]]) }, 'INSTANCE_INVALID', /the next is NIC 1, and not NIC 2/],
  ['two disks with one path', { disks: new Map([[1, '/srv/0.img']]) }, 'INSTANCE_INVALID', /here: disks\[1\]\.path is the same/],
  ['a wrong MAC address', { nics: new Map([[0, { mac: 'x' }]]) }, 'INSTANCE_INVALID', /here: nics\[0\]\.mac must be a MAC address/],
  ['a new NIC without an address', { nics: new Map([[1, { link: 'br0' }]]) }, 'INSTANCE_INVALID', /here: nics\[1\]\.mac/],
  ['a wrong name', { name: 'not a name' }, 'INSTANCE_INVALID', /here: name /],
] as const)('refuses %s', (_what, overrides: InstanceOverrides, code, message) => {
  expect(() => override(overrides)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});
