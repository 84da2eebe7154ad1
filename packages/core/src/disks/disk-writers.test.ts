import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';

import { attachLoopDevice, makeExt4Image, makeSparseFile, makeTemporaryDirectory, mountImage, mountNewBtrfs } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { openWorkbench } from '../../test/snapshots/workbench.ts';
import { findDiskWriters } from './disk-writers.ts';

const MiB = 1024 * 1024;
const { signal } = new AbortController();

/** A shell that has a file open in the given way until it is disposed. */
async function holdOpen(path: string, redirection: '<' | '>>' | '<>'): Promise<{ readonly pid: number } & AsyncDisposable> {
  const child = spawn('/bin/sh', ['-c', `exec 3${redirection}"$1"; echo open; read line`, 'sh', path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  return {
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

describe('who may write to a disk that is a file', () => {
  test('is nobody when it is open for reading alone', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using _reader = await holdOpen(scratch.file('disk'), '<');
    await using _loop = await attachLoopDevice(scratch.file('disk'), { readOnly: true });
    expect(await findDiskWriters(scratch.file('disk'), signal)).toEqual({ writers: [], hiddenProcesses: 0 });
  });

  test.each(['>>', '<>'] as const)('is a process that has it open (%s)', async (redirection) => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using writer = await holdOpen(scratch.file('disk'), redirection);
    expect((await findDiskWriters(scratch.file('disk'), signal)).writers).toEqual([`process ${writer.pid} (sh) has it open for writing`]);
  });

  test('is this very process too', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using _file = await open(scratch.file('disk'), 'r+');
    const { writers } = await findDiskWriters(scratch.file('disk'), signal);
    expect(writers).toEqual([expect.stringMatching(new RegExp(`^process ${process.pid} \\(.+\\) has it open for writing$`))]);
  });

  test('is a process that has it open by another name', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await execa('ln', [scratch.file('disk'), scratch.file('hard')]);
    await execa('ln', ['-s', scratch.file('hard'), scratch.file('symbolic')]);
    await using writer = await holdOpen(scratch.file('hard'), '>>');
    const { writers } = await findDiskWriters(scratch.file('symbolic'), signal);
    expect(writers).toEqual([`process ${writer.pid} (sh) has it open for writing`]);
  });

  test('is a loop device, a file system that is mounted from it, and a process that has the device open', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeExt4Image(scratch.file('disk'), { bytes: 16 * MiB, files: 1 });
    await using loop = await attachLoopDevice(scratch.file('disk'));
    await using mounted = await mountImage(loop.path);
    const { writers } = await findDiskWriters(scratch.file('disk'), signal);
    expect(writers).toEqual([`${loop.path} is mounted writable on ${mounted.path}`, `it is writable as ${loop.path}`]);
    await mounted.remount('ro');
    await using writer = await holdOpen(loop.path, '<>');
    expect((await findDiskWriters(scratch.file('disk'), signal)).writers).toEqual([
      `process ${writer.pid} (sh) has ${loop.path} open for writing`,
      `it is writable as ${loop.path}`,
    ]);
  });
});

describe('who may write to a block device', () => {
  test('is nobody', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using loop = await attachLoopDevice(scratch.file('disk'));
    expect(await findDiskWriters(loop.path, signal)).toEqual({ writers: [], hiddenProcesses: 0 });
  });

  test('is a file system that is mounted, also where mountinfo shows another device number', async () => {
    await using mounted = await mountNewBtrfs();
    const mounts = await readFile('/proc/self/mounts', 'utf8');
    const device =
      mounts
        .split('\n')
        .find((line) => line.split(' ')[1] === mounted.path)
        ?.split(' ')[0] ?? '';
    expect((await findDiskWriters(device, signal)).writers).toEqual([`it is mounted writable on ${mounted.path}`]);
    await mounted.remount('ro');
    expect((await findDiskWriters(device, signal)).writers).toEqual([]);
  });

  test('is a loop device upon a loop device', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), MiB);
    await using below = await attachLoopDevice(scratch.file('disk'));
    await using above = await attachLoopDevice(below.path);
    await using writer = await holdOpen(above.path, '>>');
    expect((await findDiskWriters(scratch.file('disk'), signal)).writers).toEqual([
      `process ${writer.pid} (sh) has ${above.path} open for writing`,
      `it is writable as ${below.path}`,
      `it is writable as ${above.path}`,
    ]);
  });

  test('is a partition of it that is in use', async () => {
    await using scratch = await makeTemporaryDirectory();
    await makeSparseFile(scratch.file('disk'), 8 * MiB);
    const { stdout: loop } = await execa('losetup', ['--find', '--show', '--partscan', scratch.file('disk')]);
    try {
      // Not every kernel reads partition tables; each can be told of a partition.
      await execa('addpart', [loop, '1', '2048', '8192']);
      await using writer = await holdOpen(`${loop}p1`, '<>');
      expect((await findDiskWriters(loop, signal)).writers).toContain(`process ${writer.pid} (sh) has ${loop}p1 open for writing`);
    } finally {
      await execa('losetup', ['--detach', loop]);
    }
  });
});

test('who is not root cannot see all, and is told so', async () => {
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

describe('an export without a snapshot', () => {
  test('is of the disk itself, without a warning when nobody writes', async () => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('disk'), MiB);
    await using set = await bench.take('none', [bench.file('disk')]);
    expect(set.snapshots).toEqual([{ index: 0, kind: 'none', path: bench.file('disk') }]);
    expect(bench.warnings).toEqual([]);
  });

  test('warns of the disk that somebody may write to, and names who', async () => {
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

  test('of a disk that has a URI alone warns that nothing can be seen', async () => {
    await using bench = await openWorkbench();
    await using set = await bench.take('auto', [{ uri: 'rbd:pool/image', access: 'rw' }]);
    expect(set.snapshots).toEqual([{ index: 0, kind: 'none', uri: 'rbd:pool/image' }]);
    expect(bench.warnings).toEqual([
      'disk 0: it is exported without a snapshot, and whether somebody writes to rbd:pool/image cannot be seen',
    ]);
  });

  test('of a disk that is not there says that nothing was found out', async () => {
    await using bench = await openWorkbench();
    await using _set = await bench.take('none', ['/nowhere/disk']);
    expect(bench.warnings).toEqual([expect.stringContaining('whether somebody writes to /nowhere/disk could not be found out: ENOENT')]);
  });

  test('is cancelled like any other', async () => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('disk'), MiB);
    await expect(bench.take('none', [bench.file('disk')], { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
