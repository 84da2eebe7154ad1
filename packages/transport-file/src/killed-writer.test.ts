import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { FileStore } from './file-store.ts';

const WRITER = fileURLToPath(new URL('../test/write-and-wait.ts', import.meta.url));

/** A process that has begun an object, written `bytes` bytes of it and goes no further. */
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

async function putRest(store: FileStore, token: string, rest: Buffer, digest: { size: number; sha256: string }): Promise<void> {
  await using pending = await store.resume(token);
  async function* source(): AsyncGenerator<Uint8Array> {
    yield rest;
  }
  await pending.append(source());
  await pending.commit(digest);
}

test('a writer that runs is alive, one that was killed is dead; clearing it leaves nothing', async () => {
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

test('what a killed writer wrote is gone on with', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  const writer = await startWriter(directory.path, 'disk0', 70_000);
  await writer.kill();
  const whole = Buffer.concat([Buffer.alloc(70_000, 'x'), Buffer.alloc(5, 'y')]);
  const digest = { size: whole.length, sha256: createHash('sha256').update(whole).digest('hex') };
  await putRest(store, writer.token, whole.subarray(70_000), digest);
  expect(await store.stat('disk0')).toMatchObject({ size: 70_005 });
  expect(await readdir(directory.path)).toEqual(['disk0']);
});
