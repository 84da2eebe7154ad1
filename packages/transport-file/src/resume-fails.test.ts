import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { FileSystemError } from '@gantry/directory-store';
import { makeTemporaryDirectory, mountNewTmpfs } from '@gantry/testkit';
import { expect, onTestFinished, test, vi } from 'vitest';
import { FileStore } from './file-store.ts';
import { NodeDirectory } from './node-directory.ts';

/* Resuming copies what the other writer left. If that fails, the write can be resumed later, and there is no second copy. */

const MiB = 1024 * 1024;
const LEFT = Buffer.alloc(3 * MiB, 'p');
const DIGEST = { size: LEFT.length, sha256: createHash('sha256').update(LEFT).digest('hex') };

async function* left(): AsyncGenerator<Uint8Array> {
  yield LEFT;
}

/** @returns the token of a write that waits to be resumed */
async function suspended(store: FileStore): Promise<string> {
  const pending = await store.begin('a');
  await pending.append(left());
  await pending.suspend();
  return pending.token;
}

test('a resume that finds no space for its copy leaves none, and what was left stays', async () => {
  await using disk = await mountNewTmpfs(5 * MiB);
  const store = new FileStore(disk.file('store'));
  const token = await suspended(store);
  const files = await readdir(disk.file('store', '.gantry-pending', token));
  await expect(store.resume(token)).rejects.toMatchObject({ code: 'full' });
  expect(await readdir(disk.file('store', '.gantry-pending', token))).toEqual(files);
  expect(await Array.fromAsync(store.pending(''))).toMatchObject([{ token, durableBytes: LEFT.length }]);
});

test('a resume whose new record may not be durable keeps its copy: the record names it', async () => {
  await using directory = await makeTemporaryDirectory();
  const store = new FileStore(directory.path);
  const token = await suspended(store);
  onTestFinished(() => void vi.restoreAllMocks());
  const replacing = vi.spyOn(NodeDirectory.prototype, 'replace').mockImplementationOnce(async function (
    this: NodeDirectory,
    name,
    to,
    toName,
  ) {
    replacing.mockRestore();
    await this.replace(name, to, toName);
    const failure = new FileSystemError('failed', { code: 'unavailable', message: 'the disk fails' });
    vi.spyOn(NodeDirectory.prototype, 'sync').mockRejectedValueOnce(failure);
  });
  await expect(store.resume(token)).rejects.toMatchObject({ code: 'unavailable' });
  const second = await store.resume(token);
  await second.commit(DIGEST);
  expect(await readdir(directory.path)).toEqual(['a']);
});
