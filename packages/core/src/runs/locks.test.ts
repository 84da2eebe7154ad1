import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { link, readdir, symlink } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { attachLoopDevice, makeSparseFile, makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { failFiles, systemError } from '../../test/failing-files.ts';
import type { Lock } from './lock-file.ts';
import { sweepLocks } from './lock-file.ts';
import type { LockOwner } from './locks.ts';
import { lockDisk, lockInstance } from './locks.ts';
import { openStateDirectory } from './state-directory.ts';

const driver = fileURLToPath(import.meta.resolve('../../test/runs/hold-lock.ts'));

async function withState(): Promise<
  AsyncDisposable & { owner: (instance: string) => LockOwner; path: string; file: (name: string) => string }
> {
  const scratch = await makeTemporaryDirectory();
  const stateDirectory = await openStateDirectory(scratch.file('state'));
  return {
    path: stateDirectory.path,
    file: (name) => scratch.file(name),
    owner: (instance) => ({ stateDirectory, operation: 'export', instance }),
    [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose](),
  };
}

/** A process of its own that takes the instance's lock, says so, and keeps it until it is killed. */
async function holdInOtherProcess(
  state: string,
  instance: string,
): Promise<{ pid: number; said: string; kill: () => Promise<void> } & AsyncDisposable> {
  const child = execFile(process.execPath, ['--conditions=@gantry/source', driver, state, instance]);
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  if (child.stdout === null) throw new Error('no stdout');
  const [said]: unknown[] = await once(createInterface(child.stdout), 'line');
  return { pid: child.pid ?? 0, said: String(said), kill, [Symbol.asyncDispose]: kill };
}

describe('the lock of an instance', () => {
  test('is held by one at a time, also within one process, and free again when it is released', async () => {
    await using state = await withState();
    {
      await using _lock = await lockInstance(state.owner('web1'));
      await expect(lockInstance(state.owner('web1'))).rejects.toMatchObject({ code: 'BUSY' });
      await using _other = await lockInstance(state.owner('web2'));
    }
    await using _again = await lockInstance(state.owner('web1'));
  });

  test('is free when it is released, even where its file cannot be looked at', async () => {
    await using state = await withState();
    const lock = await lockInstance(state.owner('web1'));
    {
      using _broken = await failFiles('stat', async () => systemError('EIO'));
      await expect(lock[Symbol.asyncDispose]()).rejects.toThrow('EIO');
    }
    await using _again = await lockInstance(state.owner('web1'));
  });

  test('is not kept where taking it failed', async () => {
    await using state = await withState();
    {
      using _broken = await failFiles('stat', async () => systemError('EIO'));
      await expect(lockInstance(state.owner('web1'))).rejects.toMatchObject({
        code: 'STATE_UNUSABLE',
        message: expect.stringMatching(/^cannot lock the file .*instance-web1\.lock: EIO/),
      });
    }
    await using _again = await lockInstance(state.owner('web1'));
  });

  test('names who has it: operation, process, since when, and what to do', async () => {
    await using state = await withState();
    await using holder = await holdInOtherProcess(state.path, 'web1');
    expect(holder.said).toBe('locked');
    const refused = lockInstance(state.owner('web1'));
    await expect(refused).rejects.toMatchObject({
      code: 'BUSY',
      exitCode: 10,
      message: expect.stringMatching(
        new RegExp(
          `^instance web1 is in use: import of instance web1, process ${holder.pid}, since \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d+Z$`,
        ),
      ),
      hint: `Wait until it ends, or end process ${holder.pid}.`,
    });
  });

  test('leaves files behind when its holder is killed, which can be swept away; what is held stays', async () => {
    await using state = await withState();
    await using dead = await holdInOtherProcess(state.path, 'web1');
    await using living = await holdInOtherProcess(state.path, 'web2');
    await dead.kill();
    const { locks } = state.owner('web1').stateDirectory;
    const before = (await readdir(locks)).filter((name) => name.includes('web2'));
    await sweepLocks(locks);
    expect((await readdir(locks)).toSorted()).toEqual(before.toSorted());
    expect(before).toHaveLength(2);
    await expect(lockInstance(state.owner('web2'))).rejects.toMatchObject({ message: expect.stringContaining(String(living.pid)) });
    await using _lock = await lockInstance(state.owner('web1'));
    await sweepLocks(locks);
    await expect(lockInstance(state.owner('web1'))).rejects.toMatchObject({ code: 'BUSY' });
  });

  test('is free as soon as its holder is killed', async () => {
    await using state = await withState();
    const holder = await holdInOtherProcess(state.path, 'web1');
    await holder.kill();
    await using _lock = await lockInstance(state.owner('web1'));
  });

  test('leaves no file behind, and sweeps what killed holders left', async () => {
    await using state = await withState();
    const holder = await holdInOtherProcess(state.path, 'web1');
    await holder.kill();
    const lock = await lockInstance(state.owner('web1'));
    await lock[Symbol.asyncDispose]();
    await lock[Symbol.asyncDispose]();
    expect(await readdir(`${state.path}/locks`)).toEqual([]);
  });

  test('works for the longest host name', async () => {
    await using state = await withState();
    const name = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
    await using _lock = await lockInstance(state.owner(name));
    await expect(lockInstance(state.owner(name))).rejects.toMatchObject({ code: 'BUSY' });
  });

  test('of two processes that race for it, again and again, one wins each time', async () => {
    await using state = await withState();
    const rounds = 120;
    const racers = await Promise.all(
      [1, 2, 3].map(async () => {
        const child = execFile(process.execPath, [
          '--conditions=@gantry/source',
          driver,
          state.path,
          'web1',
          String(rounds),
          state.file('counter'),
        ]);
        let text = '';
        child.stdout?.on('data', (chunk: string) => (text += chunk));
        child.stderr?.on('data', (chunk: string) => (text += chunk));
        const [code]: unknown[] = await once(child, 'close');
        return { code, text };
      }),
    );
    // Each round needs the lock and finds the counter as nobody else is changing it.
    expect(racers).toEqual([1, 2, 3].map(() => ({ code: 0, text: '' })));
    expect(await readdir(`${state.path}/locks`)).toEqual([]);
  });
});

describe('the lock of a disk', () => {
  test('is shared by readers, and excludes a writer', async () => {
    await using state = await withState();
    await makeSparseFile(state.file('disk'), 1024 * 1024);
    const disk = { path: state.file('disk'), access: 'rw' } as const;
    const readers: Lock[] = [
      await lockDisk(state.owner('web1'), 0, disk, 'shared'),
      await lockDisk(state.owner('web2'), 0, disk, 'shared'),
    ];
    await expect(lockDisk(state.owner('web3'), 2, disk, 'exclusive')).rejects.toMatchObject({
      code: 'BUSY',
      disk: 2,
      message: expect.stringContaining(`disk 2 (${disk.path}) is in use: export of instance web`),
      details: [expect.stringContaining('also in use: export of instance web')],
    });
    await readers[0]?.[Symbol.asyncDispose]();
    await expect(lockDisk(state.owner('web3'), 0, disk, 'exclusive')).rejects.toMatchObject({
      message: expect.stringMatching(/instance web2/),
      details: [],
    });
    await readers[1]?.[Symbol.asyncDispose]();
    await using _writer = await lockDisk(state.owner('web3'), 0, disk, 'exclusive');
    await expect(lockDisk(state.owner('web1'), 0, disk, 'shared')).rejects.toMatchObject({ code: 'BUSY' });
  });

  test('is the same lock under every name of the disk', async () => {
    await using state = await withState();
    await makeSparseFile(state.file('disk'), 1024 * 1024);
    await symlink('disk', state.file('symbolic'));
    await link(state.file('disk'), state.file('hard'));
    await using loop = await attachLoopDevice(state.file('disk'));
    await using _lock = await lockDisk(state.owner('web1'), 0, { path: state.file('disk'), access: 'rw' }, 'exclusive');
    for (const path of [state.file('symbolic'), state.file('hard'), loop.path]) {
      await expect(lockDisk(state.owner('web2'), 0, { path, access: 'rw' }, 'shared')).rejects.toMatchObject({ code: 'BUSY' });
    }
  });

  test('is refused for another disk of the same instance, which it would be twice', async () => {
    await using state = await withState();
    await makeSparseFile(state.file('disk'), 1024 * 1024);
    await link(state.file('disk'), state.file('hard'));
    await using _lock = await lockDisk(state.owner('web1'), 0, { path: state.file('disk'), access: 'rw' }, 'exclusive');
    await expect(lockDisk(state.owner('web1'), 1, { path: state.file('hard'), access: 'rw' }, 'exclusive')).rejects.toMatchObject({
      code: 'BUSY',
      disk: 1,
      message: `disk 1 (${state.file('hard')}) is the same as another disk of instance web1, under another path`,
    });
  });

  test('tells block devices apart', async () => {
    await using state = await withState();
    await makeSparseFile(state.file('a'), 1024 * 1024);
    await makeSparseFile(state.file('b'), 1024 * 1024);
    await using one = await attachLoopDevice(state.file('a'));
    await using other = await attachLoopDevice(state.file('b'));
    await using _lock = await lockDisk(state.owner('web1'), 0, { path: one.path, access: 'rw' }, 'exclusive');
    await using _free = await lockDisk(state.owner('web1'), 1, { path: other.path, access: 'rw' }, 'exclusive');
  });

  test('that has a URI alone is that of the URI', async () => {
    await using state = await withState();
    await using _lock = await lockDisk(state.owner('web1'), 0, { uri: 'rbd:pool/image', access: 'rw' }, 'exclusive');
    await expect(lockDisk(state.owner('web2'), 0, { uri: 'rbd:pool/image', access: 'rw' }, 'shared')).rejects.toMatchObject({
      code: 'BUSY',
    });
    await using _other = await lockDisk(state.owner('web2'), 0, { uri: 'rbd:pool/other', access: 'rw' }, 'shared');
  });

  test('that is not there says so', async () => {
    await using state = await withState();
    await expect(lockDisk(state.owner('web1'), 3, { path: '/nowhere/disk', access: 'rw' }, 'shared')).rejects.toMatchObject({
      code: 'DISK_MISSING',
      disk: 3,
      message: expect.stringMatching(/disk 3 \(\/nowhere\/disk\).*ENOENT/),
    });
  });
});
