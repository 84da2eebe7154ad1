import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { FileStore } from './file-store.ts';

const WRITER = fileURLToPath(new URL('../test/write-and-wait.ts', import.meta.url));
const DYING_WRITER = fileURLToPath(new URL('../test/write-and-die.ts', import.meta.url));

/** A process that has started an object, written `bytes` bytes of it, and waits. */
async function startWriter(
  directory: string,
  key: string,
  bytes: number,
): Promise<{ token: string; pid: number | undefined; kill: () => Promise<void> }> {
  const child = spawn(process.execPath, ['--conditions=@gantry/source', WRITER, directory, key, String(bytes)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [output] = await once(child.stdout, 'data');
  return {
    token: String(output).trim(),
    pid: child.pid,
    kill: async () => {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    },
  };
}

/** Runs a process that writes an object and is killed at its `nth` call of a function. @returns whether it reached that call */
async function killWriterAt(directory: string, key: string, called: string, nth: number): Promise<boolean> {
  const child = spawn(process.execPath, ['--conditions=@gantry/source', DYING_WRITER, directory, key, called, String(nth)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [, signal] = await once(child, 'close');
  return signal === 'SIGKILL';
}

async function putRest(store: FileStore, token: string, rest: Buffer, digest: { size: number; sha256: string }): Promise<void> {
  await using pending = await store.resume(token);
  async function* source(): AsyncGenerator<Uint8Array> {
    yield rest;
  }
  await pending.append(source());
  await pending.commit(digest);
}

test('a running writer is alive, a killed one is dead; clearing it leaves nothing', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  const writer = await startWriter(directory.path, 'web1/x/disk0', 100_000);
  try {
    const [alive] = await Array.fromAsync(store.pending('web1/'));
    expect(alive).toMatchObject({ key: 'web1/x/disk0', token: writer.token, owner: 'alive', durableBytes: 100_000 });
    expect(alive?.ownerText).toContain(`process ${writer.pid}`);
  } finally {
    await writer.kill();
  }
  const [dead] = await Array.fromAsync(store.pending(''));
  expect(dead).toMatchObject({ token: writer.token, owner: 'dead' });
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
  await store.clear([writer.token]);
  expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  expect(await readdir(directory.path)).toEqual([]);
});

test('the write of a killed writer can be resumed', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  const writer = await startWriter(directory.path, 'disk0', 70_000);
  await writer.kill();
  const content = Buffer.concat([Buffer.alloc(70_000, 'x'), Buffer.alloc(5, 'y')]);
  const digest = { size: content.length, sha256: createHash('sha256').update(content).digest('hex') };
  await putRest(store, writer.token, content.subarray(70_000), digest);
  expect(await store.stat('disk0')).toMatchObject({ size: 70_005 });
  expect(await readdir(directory.path)).toEqual(['disk0']);
});

test.each(['mkdir', 'open', 'rename', 'link', 'unlink', 'rmdir'])(
  'a writer that was killed at any call of %s is known to be dead, and clearing leaves only complete objects',
  async (called) => {
    let kills = 0;
    for (let nth = 1; ; nth += 1) {
      await using directory = await makeTemporaryDirectory();
      const store = new FileStore(directory.file('store'));
      if (!(await killWriterAt(directory.file('store'), 'web1/x/disk0', called, nth))) break;
      kills += 1;
      const left = await Array.fromAsync(store.pending(''));
      for (const write of left) expect(write, `${called} ${nth}`).toMatchObject({ owner: 'dead' });
      await store.clear(left.map(({ token }) => token));
      // As `gantry clean` does at the end, for leftovers that do not belong to a write.
      await store.clear([]);
      const found = await readdir(directory.path, { recursive: true });
      expect([[], ['store'], ['store', 'store/web1', 'store/web1/x', 'store/web1/x/disk0']], `${called} ${nth}`).toContainEqual(
        found.toSorted(),
      );
      if (found.length > 1) expect(await store.stat('web1/x/disk0')).toMatchObject({ size: 7 });
    }
    expect(kills).toBeGreaterThan(0);
  },
);
