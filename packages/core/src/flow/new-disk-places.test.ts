import { mkdir, symlink } from 'node:fs/promises';
import { makeTemporaryDirectory, mountNewTmpfs } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { whyNotKept, whyOnlyNamed } from './new-disk-places.ts';

describe('a new file is not kept', () => {
  test('in /dev, also by a link', async () => {
    await using directory = await makeTemporaryDirectory();
    await symlink('/dev', directory.file('link'));
    await expect(whyNotKept(directory.file('link'))).resolves.toMatch(/link is \/dev, and .* only as a logical volume/);
  });

  test('in a file system in memory, also by a link', async () => {
    await using directory = await makeTemporaryDirectory();
    await using mounted = await mountNewTmpfs(1024 * 1024);
    await symlink(mounted.path, directory.file('link'));
    for (const place of [mounted.path, directory.file('link')]) await expect(whyNotKept(place)).resolves.toMatch(/in memory/);
  });

  test('but elsewhere it is', async () => {
    await using directory = await makeTemporaryDirectory();
    await expect(whyNotKept(directory.path)).resolves.toBeUndefined();
  });
});

describe('where only an export says, a new file', () => {
  test.each([
    ['/etc/ld.so.preload', '/etc'],
    ['/var/spool/x', '/var'],
    ['/usr/../etc/x', '/etc'],
    ['//root/x', '/root'],
    ['/x.img', '/'],
  ])('is not made as %s', async (path, place) => {
    await expect(whyOnlyNamed(path)).resolves.toBe(`it would be in ${place}`);
  });

  test('is not made in a directory of the system that a link leads to, and not hidden', async () => {
    await using directory = await makeTemporaryDirectory();
    await symlink('/etc', directory.file('link'));
    await mkdir(directory.file('.ssh'));
    await expect(whyOnlyNamed(directory.file('link/x'))).resolves.toBe('it would be in /etc');
    for (const name of ['.ssh/authorized_keys', '.profile']) await expect(whyOnlyNamed(directory.file(name))).resolves.toMatch(/hidden/);
  });

  test('may be made where disks are', async () => {
    await using directory = await makeTemporaryDirectory();
    for (const path of [directory.file('disk.img'), '/var/tmp/x.img']) await expect(whyOnlyNamed(path)).resolves.toBeUndefined();
  });
});
