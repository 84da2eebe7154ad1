import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';

import {
  attachLoopDevice,
  holdOpen,
  makeExt4Image,
  makeSparseFile,
  makeTemporaryDirectory,
  mountImage,
  mountInNamespace,
  mountNewBtrfs,
  startGuest,
  useAsSwap,
} from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { openWorkbench } from '../../test/snapshots/workbench.ts';
import type { DiskUsers } from './disk-users.ts';
import { findDiskUsers, findDiskWriters } from './disk-users.ts';

const MiB = 1024 * 1024;
const { signal } = new AbortController();

async function writersOf(path: string): Promise<readonly string[]> {
  return namesIn(await findDiskWriters(path, signal));
}

async function usersOf(path: string): Promise<readonly string[]> {
  return namesIn(await findDiskUsers(path, signal));
}

function namesIn({ users }: DiskUsers): readonly string[] {
  return users.map(({ text }) => text);
}

describe('who may write to a disk that is a file', () => {
  test('is nobody if it is only open for reading', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using _reader = await holdOpen(scratch.file('disk'), '<');
    await using _loop = await attachLoopDevice(scratch.file('disk'), { readOnly: true });
    expect(await findDiskWriters(scratch.file('disk'), signal)).toEqual({ users: [], hiddenProcesses: 0 });
  });

  test.each(['>>', '<>'] as const)('is a process that has it open (%s)', async (redirection) => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using writer = await holdOpen(scratch.file('disk'), redirection);
    expect(await writersOf(scratch.file('disk'))).toEqual([`process ${writer.pid} (sh) has it open for writing`]);
  });

  test('is this process too', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using _file = await open(scratch.file('disk'), 'r+');
    const writers = await writersOf(scratch.file('disk'));
    expect(writers).toEqual([expect.stringMatching(new RegExp(`^process ${process.pid} \\(.+\\) has it open for writing$`))]);
  });

  test('is a process that has it open by another name', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await execa('ln', [scratch.file('disk'), scratch.file('hard')]);
    await execa('ln', ['-s', scratch.file('hard'), scratch.file('symbolic')]);
    await using writer = await holdOpen(scratch.file('hard'), '>>');
    const writers = await writersOf(scratch.file('symbolic'));
    expect(writers).toEqual([`process ${writer.pid} (sh) has it open for writing`]);
  });

  test('is a loop device, a file system that is mounted from it, and a process that has the device open', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeExt4Image(scratch.file('disk'), { bytes: 16 * MiB, files: 1 });
    await using loop = await attachLoopDevice(scratch.file('disk'));
    await using mounted = await mountImage(loop.path);
    const writers = await writersOf(scratch.file('disk'));
    expect(writers).toEqual([`${loop.path} is mounted writable on ${mounted.path}`, `it is attached to ${loop.path} (writable)`]);
    await mounted.remount('ro');
    await using writer = await holdOpen(loop.path, '<>');
    expect(await writersOf(scratch.file('disk'))).toEqual([
      `process ${writer.pid} (sh) has ${loop.path} open for writing`,
      `it is attached to ${loop.path} (writable)`,
    ]);
  });
});

describe('who may write to a block device', () => {
  test('is nobody', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using loop = await attachLoopDevice(scratch.file('disk'));
    expect(await findDiskWriters(loop.path, signal)).toEqual({ users: [], hiddenProcesses: 0 });
  });

  test('is a file system that is mounted, also if mountinfo shows another device number', async () => {
    await using mounted = await mountNewBtrfs();
    const mounts = await readFile('/proc/self/mounts', 'utf8');
    const device =
      mounts
        .split('\n')
        .find((line) => line.split(' ')[1] === mounted.path)
        ?.split(' ')[0] ?? '';
    expect(await writersOf(device)).toEqual([`it is mounted writable on ${mounted.path}`]);
    await mounted.remount('ro');
    expect(await writersOf(device)).toEqual([]);
  });

  test('is a loop device on a loop device', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using below = await attachLoopDevice(scratch.file('disk'));
    await using above = await attachLoopDevice(below.path);
    await using writer = await holdOpen(above.path, '>>');
    expect(await writersOf(scratch.file('disk'))).toEqual([
      `process ${writer.pid} (sh) has ${above.path} open for writing`,
      `it is attached to ${below.path} (writable)`,
      `it is attached to ${above.path} (writable)`,
    ]);
  });

  test('is a partition of it that is in use', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), 8 * MiB);
    const { stdout: loop } = await execa('losetup', ['--find', '--show', '--partscan', scratch.file('disk')]);
    try {
      // Not every kernel reads partition tables, but partitions can be added to all of them.
      await execa('addpart', [loop, '1', '2048', '8192']);
      await using writer = await holdOpen(`${loop}p1`, '<>');
      expect(await writersOf(loop)).toContain(`process ${writer.pid} (sh) has ${loop}p1 open for writing`);
    } finally {
      await execa('losetup', ['--detach', loop]);
    }
  });
});

test('users other than root learn that they cannot see all processes', async () => {
  await using scratch = await makeTemporaryDirectory();
  await makeSparseFile(scratch.file('disk'), MiB);
  await execa('chmod', ['0755', scratch.path]);
  await execa('chmod', ['0644', scratch.file('disk')]);
  process.seteuid?.(65_534);
  try {
    expect((await findDiskWriters(scratch.file('disk'), signal)).hiddenProcesses).toBeGreaterThan(0);
  } finally {
    process.seteuid?.(0);
  }
});

describe('who uses a disk', () => {
  test('is nobody if nothing uses it', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    expect(await findDiskUsers(scratch.file('disk'), signal)).toEqual({ users: [], hiddenProcesses: 0 });
    await using loop = await attachLoopDevice(scratch.file('disk'));
    expect(await usersOf(loop.path)).toEqual([]);
  });

  test.each([
    [{}, 'writing'],
    [{ readOnly: true }, 'reading'],
  ])('is a running guest (%o)', async (options, how) => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using guest = await startGuest(scratch.file('disk'), options);
    expect(await usersOf(scratch.file('disk'))).toEqual([`process ${guest.pid} (qemu-system-x86) has it open for ${how}`]);
    await using loop = await attachLoopDevice(scratch.file('disk'));
    if (how === 'writing')
      expect(await usersOf(loop.path)).toEqual([`process ${guest.pid} (qemu-system-x86) has ${scratch.file('disk')} open for writing`]);
  });

  test('is a guest whose process we may not examine, by its locks', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await execa('chmod', ['0755', scratch.path]);
    await execa('chmod', ['0644', scratch.file('disk')]);
    await using _guest = await startGuest(scratch.file('disk'));
    await asNobody(async () => {
      expect(await usersOf(scratch.file('disk'))).toEqual([
        "QEMU writes it: a process that is not visible here holds QEMU's lock on the image",
      ]);
    });
  });

  test('is a process that we may not examine, if we do not get a lease; and nobody, if we get it', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await execa('chmod', ['0755', scratch.path]);
    await execa('chown', ['65534', scratch.file('disk')]);
    await asNobody(async () => {
      expect(await findDiskUsers(scratch.file('disk'), signal)).toEqual({ users: [], hiddenProcesses: 0 });
    });
    await using _reader = await holdOpen(scratch.file('disk'), '<');
    await asNobody(async () => {
      expect(await usersOf(scratch.file('disk'))).toEqual(['a process that is not visible here, or the kernel, has it open']);
    });
  });

  test('is a process with its own lock, by its process number', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await execa('chmod', ['0755', scratch.path]);
    await execa('chmod', ['0644', scratch.file('disk')]);
    const script = 'import fcntl,sys;f=open(sys.argv[1],"r+b");fcntl.lockf(f,fcntl.LOCK_EX);print("locked",flush=True);sys.stdin.read()';
    const locker = execa('python3', ['-c', script, scratch.file('disk')], { stdin: 'pipe' });
    await once(locker.stdout, 'data');
    await asNobody(async () => {
      expect(await usersOf(scratch.file('disk'))).toEqual([expect.stringMatching(/^process \d+ \(python3.*\) has it locked$/)]);
    });
    locker.stdin.end();
    await locker;
  });

  test('is a read-only mount, and one in another mount namespace', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeExt4Image(scratch.file('disk'), { bytes: 16 * MiB, files: 1 });
    await using loop = await attachLoopDevice(scratch.file('disk'));
    {
      await using mounted = await mountImage(loop.path, { readOnly: true });
      expect(await usersOf(loop.path)).toEqual([`it is mounted read-only on ${mounted.path}`]);
    }
    await using elsewhere = await mountInNamespace(loop.path, '/mnt');
    const where = `/mnt (in the mount namespace of process ${elsewhere.pid} (sh))`;
    expect(await usersOf(loop.path)).toEqual([`it is mounted writable on ${where}`]);
    expect(await usersOf(scratch.file('disk'))).toEqual([
      `${loop.path} is mounted writable on ${where}`,
      `it is attached to ${loop.path} (writable)`,
    ]);
  });

  test('is the root file system', async () => {
    const { stdout: source } = await execa('findmnt', ['--noheadings', '--output', 'SOURCE', '/']);
    expect(await usersOf(source)).toContain('it is mounted writable on /');
  });

  test('is swap, on the disk and on a partition of it', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), 8 * MiB);
    await using loop = await attachLoopDevice(scratch.file('disk'), { partitions: true });
    {
      await using _swap = await useAsSwap(loop.path);
      expect(await usersOf(loop.path)).toEqual(['it is used as swap']);
      expect(await usersOf(scratch.file('disk'))).toEqual([`${loop.path} is used as swap`, `it is attached to ${loop.path} (writable)`]);
    }
    await execa('addpart', [loop.path, '1', '2048', '8192']);
    expect(await usersOf(loop.path), 'a partition alone is not a use').toEqual([]);
    await using _swap = await useAsSwap(`${loop.path}p1`);
    expect(await usersOf(loop.path)).toEqual([`${loop.path}p1 is used as swap`]);
  });

  test('is a file system on a partition, and not one on another partition', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), 16 * MiB);
    await using loop = await attachLoopDevice(scratch.file('disk'), { partitions: true });
    await execa('addpart', [loop.path, '1', '2048', '8192']);
    await execa('addpart', [loop.path, '2', '10240', '8192']);
    await execa('mkfs.ext4', ['-q', `${loop.path}p1`]);
    await using mounted = await mountImage(`${loop.path}p1`);
    expect(await usersOf(`${loop.path}p1`)).toEqual([`it is mounted writable on ${mounted.path}`]);
    expect(await usersOf(loop.path)).toEqual([`${loop.path}p1 is mounted writable on ${mounted.path}`]);
    expect(await usersOf(scratch.file('disk'))).toContain(`${loop.path}p1 is mounted writable on ${mounted.path}`);
    expect(await usersOf(`${loop.path}p2`)).toEqual([]);
    await using writer = await holdOpen(loop.path, '<>');
    expect(await usersOf(`${loop.path}p2`)).toEqual([`process ${writer.pid} (sh) has the whole disk open for writing`]);
  });

  test('is the kernel if it has claimed the disk without listing it: the second device of a btrfs', async () => {
    await using scratch = await makeTemporaryDirectory();
    for (const name of ['one', 'two']) await makeSparseFile(scratch.file(name), 128 * MiB);
    await using one = await attachLoopDevice(scratch.file('one'));
    await using two = await attachLoopDevice(scratch.file('two'));
    await execa('mkfs.btrfs', ['-q', '-d', 'raid1', '-m', 'raid1', one.path, two.path]);
    await execa('btrfs', ['device', 'scan', one.path, two.path]);
    await using mounted = await mountImage(one.path);
    expect(await usersOf(one.path)).toEqual([`it is mounted writable on ${mounted.path}`]);
    expect(await usersOf(two.path)).toEqual([expect.stringMatching(/^the kernel or a program has claimed it \(O_EXCL\)/)]);
  });

  test('is another loop device of the same file, for a loop device too', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeExt4Image(scratch.file('disk'), { bytes: 16 * MiB, files: 1 });
    await using one = await attachLoopDevice(scratch.file('disk'));
    await using two = await attachLoopDevice(scratch.file('disk'));
    await using mounted = await mountImage(two.path);
    expect(await usersOf(one.path)).toEqual([
      `${two.path} is mounted writable on ${mounted.path}`,
      `it is attached to ${two.path} (writable)`,
    ]);
  });
});

/** Runs as a user who may not examine other users' processes. */
async function asNobody(work: () => Promise<void>): Promise<void> {
  process.seteuid?.(65_534);
  try {
    await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe('an export without a snapshot', () => {
  test('is of the disk itself, without a warning when nobody writes', async () => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('disk'), MiB);
    await using set = await bench.take('none', [bench.file('disk')]);
    expect(set.snapshots).toEqual([{ index: 0, kind: 'none', path: bench.file('disk') }]);
    expect(bench.warnings).toEqual([]);
  });

  test('warns of a disk that another process may write to, and names it', async () => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('a'), MiB);
    await makeSparseFile(bench.file('b'), MiB);
    await using writer = await holdOpen(bench.file('b'), '<>');
    await using _set = await bench.take('none', [bench.file('a'), bench.file('b')]);
    expect(bench.warnings).toEqual([
      `disk 1: ${bench.file('b')} is exported without a snapshot and may change meanwhile: process ${writer.pid} (sh) has it open for writing`,
    ]);
  });

  test('names the first of many', async () => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('disk'), MiB);
    await using stack = new AsyncDisposableStack();
    for (let count = 0; count < 7; count += 1) stack.use(await holdOpen(bench.file('disk'), '>>'));
    await using _set = await bench.take('none', [bench.file('disk')]);
    expect(bench.warnings[0]).toMatch(/(process \d+ \(sh\) has it open for writing, ){5}and 2 more$/);
  });

  test('of a disk with only a URI warns that its users cannot be seen', async () => {
    await using bench = await openWorkbench();
    await using set = await bench.take('auto', [{ uri: 'iscsi://host/target/0', access: 'rw' }]);
    expect(set.snapshots).toEqual([{ index: 0, kind: 'none', uri: 'iscsi://host/target/0' }]);
    expect(bench.warnings).toEqual([
      'disk 0: it is exported without a snapshot, and Gantry cannot see whether another process writes to iscsi://host/target/0',
    ]);
  });

  test('of a disk that does not exist warns that its users are unknown', async () => {
    await using bench = await openWorkbench();
    await using _set = await bench.take('none', ['/nowhere/disk']);
    expect(bench.warnings).toEqual([expect.stringContaining('could not find out whether another process writes to /nowhere/disk: ENOENT')]);
  });

  test('is cancelled like any other', async () => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('disk'), MiB);
    await expect(bench.take('none', [bench.file('disk')], { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
