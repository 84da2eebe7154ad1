import { chmod, link, lutimes, open, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { compareTrees } from './compare-trees.ts';
import { makeRandomFile, makeSparseFile } from './disk-files.ts';
import { makeExt4Image } from './ext4-image.ts';
import { attachLoopDevice } from './loop-device.ts';
import { allocatedBytes, sha256File } from './measure.ts';
import { mountImage, mountNewBtrfs, mountNewTmpfs, mountNewXfs, mountReadOnly } from './mounts.ts';
import { makeSampleTree } from './sample-tree.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

const MiB = 1024 * 1024;

describe('disk files', () => {
  test('a sparse file takes space only for its extents, and a seed always makes the same bytes', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('a'), 64 * MiB, [{ offset: 8 * MiB, bytes: 2 * MiB + 5, seed: 'x' }]);
    await makeSparseFile(scratch.file('b'), 64 * MiB, [{ offset: 8 * MiB, bytes: 2 * MiB + 5, seed: 'x' }]);
    expect((await stat(scratch.file('a'))).size).toBe(64 * MiB);
    expect(await allocatedBytes(scratch.file('a'))).toBeLessThan(3 * MiB);
    expect(await sha256File(scratch.file('a'))).toBe(await sha256File(scratch.file('b')));
  });

  test('a random file differs by seed', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeRandomFile(scratch.file('a'), MiB, 'one');
    await makeRandomFile(scratch.file('b'), MiB, 'two');
    expect(await allocatedBytes(scratch.file('a'))).toBeGreaterThanOrEqual(MiB);
    expect(await sha256File(scratch.file('a'))).not.toBe(await sha256File(scratch.file('b')));
  });
});

describe('an ext4 image', () => {
  test('contains exactly the tree that it was made from', async () => {
    await using scratch = await makeTemporaryDirectory();
    await using tree = await makeTemporaryDirectory();
    await makeSampleTree(tree.path, 300);
    await makeExt4Image(scratch.file('disk.img'), { bytes: 64 * MiB, from: tree.path });
    await using mounted = await mountImage(scratch.file('disk.img'), { readOnly: true });
    expect(await compareTrees(tree.path, mounted.path, { ignore: ['.', 'lost+found'] })).toEqual([]);
    await expect(writeFile(mounted.file('new'), '')).rejects.toMatchObject({ code: 'EROFS' });
  });
});

describe('comparing trees', () => {
  test.each([
    ['content', (dir: string) => writeFile(join(dir, 'dir0', 'file3'), 'x'.repeat(4095))],
    ['a mode', (dir: string) => chmod(join(dir, 'dir0', 'file0'), 0o640)],
    ['a time', (dir: string) => lutimes(join(dir, 'links', 'relative'), 5, 5)],
    ['a missing file', (dir: string) => unlink(join(dir, 'odd names', 'two words'))],
    ['an attribute', (dir: string) => execa('setfattr', ['-x', 'user.gantry.text', join(dir, 'special', 'attributes')])],
    [
      'a hard link that became a copy',
      async (dir: string) => {
        const content = await readFile(join(dir, 'links', 'target'));
        await rm(join(dir, 'links', 'hard'));
        await writeFile(join(dir, 'links', 'hard'), content);
      },
    ],
    ['an additional hard link', (dir: string) => link(join(dir, 'dir0', 'file1'), join(dir, 'dir0', 'more'))],
  ])('detects %s', async (_, change) => {
    await using one = await makeTemporaryDirectory();
    await using other = await makeTemporaryDirectory();
    await makeSampleTree(one.path, 20);
    await makeSampleTree(other.path, 20);
    expect(await compareTrees(one.path, other.path)).toEqual([]);
    await change(other.path);
    expect(await compareTrees(one.path, other.path)).not.toEqual([]);
  });
});

describe('devices and mounts', () => {
  test('a loop device has the contents of the file, and is gone afterwards', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeRandomFile(scratch.file('disk'), MiB, 'loop');
    let path: string;
    {
      await using loop = await attachLoopDevice(scratch.file('disk'), { readOnly: true });
      path = loop.path;
      expect(await sha256File(path)).toBe(await sha256File(scratch.file('disk')));
    }
    await expect(readFile(`/sys/block/${path.slice('/dev/'.length)}/loop/backing_file`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test.each([
    ['xfs', mountNewXfs],
    ['btrfs', mountNewBtrfs],
  ])('a new %s is writable, and not mounted afterwards', async (type, make) => {
    let path: string;
    {
      await using mounted = await make();
      path = mounted.path;
      await writeFile(mounted.file('file'), 'text');
      expect(await readFile('/proc/self/mounts', 'utf8')).toContain(`${path} ${type} rw`);
      await mounted.remount('ro');
      await expect(writeFile(mounted.file('file'), 'text')).rejects.toMatchObject({ code: 'EROFS' });
    }
    expect(await readFile('/proc/self/mounts', 'utf8')).not.toContain(path);
  });

  test('a small tmpfs gets full', async () => {
    await using mounted = await mountNewTmpfs(MiB);
    await expect(makeRandomFile(mounted.file('big'), 2 * MiB, 'full')).rejects.toMatchObject({ code: 'ENOSPC' });
  });

  test('a read-only view refuses writes, the directory itself does not', async () => {
    await using scratch = await makeTemporaryDirectory();
    await using view = await mountReadOnly(scratch.path);
    await expect(open(view.file('x'), 'w')).rejects.toMatchObject({ code: 'EROFS' });
    await writeFile(scratch.file('x'), '');
  });

  test('leftovers that were not disposed are removed when the process exits', async () => {
    const script = `
      const { attachLoopDevice, makeSparseFile, makeTemporaryDirectory, mountNewTmpfs } = await import('@gantry/testkit');
      const scratch = await makeTemporaryDirectory();
      await makeSparseFile(scratch.file('disk'), 1048576);
      const loop = await attachLoopDevice(scratch.file('disk'));
      const mounted = await mountNewTmpfs(1048576);
      console.log([scratch.path, loop.path, mounted.path].join('\\n'));
      process.exit(3);`;
    const { exitCode, stdout } = await execa(process.execPath, ['--conditions=@gantry/source', '--input-type=module', '-e', script], {
      cwd: import.meta.dirname,
      reject: false,
    });
    expect(exitCode).toBe(3);
    const [directory = '', loop = '', mount = ''] = stdout.split('\n');
    await expect(stat(directory)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(stat(`/sys/block/${loop.slice('/dev/'.length)}/loop/backing_file`)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await readFile('/proc/self/mounts', 'utf8')).not.toContain(mount);
    await expect(stat(mount)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
