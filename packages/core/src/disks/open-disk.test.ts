import { rename, symlink, writeFile } from 'node:fs/promises';
import { attachLoopDevice, makeTemporaryDirectory } from '@gantry/testkit';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { findDisk, openDisk, openFound } from './open-disk.ts';

const MIB = 1024 * 1024;

test.each(['read', 'write', 'write shared'] as const)(
  'refuses to %s a file, a named pipe or a device that replaces a disk after it was examined and before it is opened',
  async (mode) => {
    await using directory = await makeTemporaryDirectory();
    const [disk, other, image] = [directory.file('disk'), directory.file('other'), directory.file('image')];
    for (const file of [disk, other, image]) await writeFile(file, Buffer.alloc(MIB));
    await using loop = await attachLoopDevice(image);
    await execa('mkfifo', [directory.file('pipe')]);
    await symlink(loop.path, directory.file('device'));
    for (const replacement of ['other', 'pipe', 'device']) {
      const found = await findDisk(disk);
      await rename(directory.file(replacement), disk);
      await expect(openFound(disk, found, mode), replacement).rejects.toMatchObject({
        code: 'DISK_IO',
        message: `cannot open ${disk}: another file or device has replaced it`,
      });
      await writeFile(directory.file('next'), '');
      await rename(directory.file('next'), disk);
    }
  },
);

test('refuses a file that replaces a device', async () => {
  await using directory = await makeTemporaryDirectory();
  const [link, file] = [directory.file('link'), directory.file('file')];
  await writeFile(file, Buffer.alloc(MIB));
  await using loop = await attachLoopDevice(file);
  await symlink(loop.path, link);
  const found = await findDisk(link);
  await rename(file, link);
  await expect(openFound(link, found, 'read')).rejects.toMatchObject({ code: 'DISK_IO' });
});

test('opens a disk by a symbolic link', async () => {
  await using directory = await makeTemporaryDirectory();
  await writeFile(directory.file('disk'), Buffer.alloc(MIB));
  await symlink(directory.file('disk'), directory.file('link'));
  await using disk = await openDisk(directory.file('link'), 'write');
  expect(disk).toMatchObject({ kind: 'file', bytes: MIB });
});
