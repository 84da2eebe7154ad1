import { expect, test } from 'vitest';

import { parseDrbdState } from './drbd-state.ts';

/* The answers are those of drbd-utils 9.22 with the kernel's 8.4.11. */

const EVENTS = `exists resource name:r0 role:Primary suspended:no
exists connection name:r0 peer-node-id:0 conn-name:peer connection:Connected role:Secondary
exists device name:r0 volume:0 minor:0 disk:UpToDate
exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:SyncSource peer-disk:Inconsistent resync-suspended:no
exists resource name:r1 role:Secondary suspended:no
exists device name:r1 volume:0 minor:10 disk:Diskless
exists peer-device name:r1 peer-node-id:0 volume:0 replication:Off peer-disk:DUnknown resync-suspended:no
exists -
`;
const SHOW = `resource r1 {
    _this_host {
        volume 0 {
            device			minor 10;
        }
    }
}
resource r0 {
    _remote_host {
        address			ipv4 127.0.0.2:7789;
    }
    _this_host {
        address			ipv4 127.0.0.1:7789;
        volume 0 {
            device			minor 0;
            disk			"/dev/vg/back";
            meta-disk			internal;
            disk {
            }
        }
    }
}
`;

test('a device with its disk', () => {
  expect(parseDrbdState(0, EVENTS, SHOW)).toEqual({
    resource: 'r0',
    role: 'Primary',
    disk: 'UpToDate',
    replication: ['SyncSource'],
    backing: '/dev/vg/back',
  });
});

test('a device without', () => {
  expect(parseDrbdState(10, EVENTS, SHOW)).toMatchObject({ resource: 'r1', role: 'Secondary', disk: 'Diskless', backing: undefined });
});

test('no such device', () => {
  expect(() => parseDrbdState(1, EVENTS, SHOW)).toThrow('does not have a device with minor number 1');
});
