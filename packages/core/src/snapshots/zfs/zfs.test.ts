import { writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { parseDataset } from './commands.ts';
import { findMount } from './mount-of-file.ts';
import { cloneName, fillLevel, needOf, poolOf, whyTooLittle } from './plan.ts';
import { createZfsProvider } from './zfs.ts';

/*
 * What can be seen without ZFS; apps/cli/test/zfs-snapshots.test.ts has the rest, in a machine with its module. The answers are those of
 * zfsutils 2.1.11.
 */

const MIB = 1024 * 1024;
const { signal } = new AbortController();

test('a dataset as zfs list describes it', () => {
  const line = 'tank/vm/web 1\t15836273871212345678\t67108864\t100663296\t12288\t12288\t67108864\n';
  expect(parseDataset(line)).toEqual({
    name: 'tank/vm/web 1',
    // Larger than any number of JavaScript that is exact.
    guid: '15836273871212345678',
    used: 64 * MIB,
    available: 96 * MIB,
    referenced: 12_288,
    usedByData: 12_288,
    refreservation: 64 * MIB,
  });
  expect(parseDataset('tank\t1\t2\t3\t4\t5\t-').refreservation).toBe(0);
  for (const odd of ['', 'tank', 'tank\tx\t1\t1\t1\t1\t1', 'tank\t1\t1\t1\t1\tnone\t1'])
    expect(() => parseDataset(odd)).toThrow('zfs list says what is not understood');
});

test('the mount of an open file, also where a part of a file system is mounted', () => {
  const mounts = [
    '22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw',
    '41 22 0:39 / /srv/v\\040m rw,noatime shared:7 master:2 - zfs tank/v\\040m rw,xattr',
    '42 22 0:39 /sub /mnt rw - zfs tank/vm rw',
    '43 22 0:40 / / rw - zfs tank/root rw',
  ].join('\n');
  expect(findMount(mounts, '41', '/srv/v m/a/disk.img')).toEqual({ type: 'zfs', source: 'tank/v m', inside: 'a/disk.img' });
  expect(findMount(mounts, '42', '/mnt/disk.img')).toEqual({ type: 'zfs', source: 'tank/vm', inside: 'sub/disk.img' });
  expect(findMount(mounts, '43', '/srv/disk.img')).toEqual({ type: 'zfs', source: 'tank/root', inside: 'srv/disk.img' });
  expect(findMount(mounts, '41', '/elsewhere/disk.img')).toBeUndefined();
  expect(findMount(mounts, '44', '/srv/disk.img')).toBeUndefined();
});

const DATASET = { name: 'tank/vm/web1', guid: '1', used: 0, available: 0, referenced: 0, usedByData: 0, refreservation: 0 };

test('a volume with a reservation needs space for a snapshot at once: as much as is in it', () => {
  // 100 MiB reserved, 30 of them used: the 70 that are not used are available to the volume alone.
  const volume = { ...DATASET, usedByData: 30 * MIB, refreservation: 100 * MIB, available: 90 * MIB };
  expect(needOf(volume)).toEqual({ needed: 30 * MIB, available: 20 * MIB });
  expect(whyTooLittle([needOf(volume)], 'tank/vm/web1')).toBe(
    'tank/vm/web1 has 20 MiB available, and the reservations (refreservation) need 30 MiB for a snapshot',
  );
  expect(whyTooLittle([needOf({ ...volume, available: 100 * MIB })], 'it')).toBeUndefined();
  expect(whyTooLittle([needOf({ ...volume, refreservation: 0 })], 'it')).toBeUndefined();
  const two = [needOf({ ...volume, available: 110 * MIB }), needOf({ ...volume, available: 110 * MIB })];
  expect(whyTooLittle(two, 'pool tank')).toMatch(/^pool tank has 40 MiB available, .* need 60 MiB/);
});

test('a snapshot can fill the space up only where less is available than the dataset has in it', () => {
  expect(fillLevel({ ...DATASET, used: 990, referenced: 10, available: 10 })).toEqual({ share: 0, of: 'the space of tank/vm/web1' });
  expect(fillLevel({ ...DATASET, used: 900, referenced: 800, available: 100 })).toMatchObject({ share: 0.9 });
  expect(fillLevel({ ...DATASET, used: 960, referenced: 800, available: 40 })).toEqual({
    lost: 'the space of tank/vm/web1 is 96 % full',
    isFull: true,
  });
});

test('the clone of a snapshot is beside its volume', () => {
  expect(cloneName(DATASET, 'gantry-1')).toBe('tank/vm/gantry-1');
  expect(poolOf('tank/vm/web1')).toBe('tank');
  expect(poolOf('tank')).toBe('tank');
});

test('a disk that is not of ZFS is not supported, and the reason is said', async () => {
  await using directory = await makeTemporaryDirectory();
  await writeFile(directory.file('disk.img'), 'x');
  const provider = createZfsProvider(directory.path);
  const reason = async (disk: { readonly path?: string; readonly uri?: string }): Promise<string> => {
    const answer = await provider.supports({ index: 0, disk: { access: 'rw', ...disk } }, signal);
    return answer.ok ? answer.what : answer.reason;
  };
  expect(await reason({ path: directory.file('disk.img') })).toBe('it is not on a file system of ZFS');
  expect(await reason({ path: directory.path })).toBe('it is neither a block device nor a regular file');
  expect(await reason({ path: directory.file('none') })).toBe('it cannot be looked at (ENOENT)');
  expect(await reason({ uri: 'rbd:pool/image' })).toBe('it has a URI and no path');
});
