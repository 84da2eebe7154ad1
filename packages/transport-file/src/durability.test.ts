import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Digest } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import { watchCalls } from '../test/watched-calls.ts';
import { FileStore } from './file-store.ts';

/*
 * What the kernel is asked to make durable and when, and what happens to a write if that fails. The replay of power cuts shows that
 * nothing more is needed (packages/directory-store/src/power-cut.test.ts).
 */

const MiB = 1024 * 1024;

async function* pieces(count: number): AsyncGenerator<Uint8Array> {
  const piece = Buffer.alloc(MiB, 'p');
  for (let index = 0; index < count; index += 1) yield piece;
}

function digestOf(count: number): Digest {
  const hash = createHash('sha256');
  for (let index = 0; index < count; index += 1) hash.update(Buffer.alloc(MiB, 'p'));
  return { size: count * MiB, sha256: hash.digest('hex') };
}

async function put(store: FileStore, key: string, count: number, ifExists: 'fail' | 'replace' = 'fail'): Promise<void> {
  await using pending = await store.begin(key, { ifExists });
  await pending.append(pieces(count));
  await pending.commit(digestOf(count));
}

describe('the order', () => {
  test.each([
    ['fail', 'link'],
    ['replace', 'rename'],
  ] as const)('of a commit (%s): the record, the data, the name, each directory above it', async (ifExists, naming) => {
    await using directory = await makeTemporaryDirectory();
    const store = new FileStore(directory.path);
    await using calls = await watchCalls(directory.path);
    await put(store, 'a/b/disk0', 1, ifExists);
    const { steps } = calls;
    const named = steps.indexOf(`${naming} ./a/b/disk0`);
    expect(steps.slice(0, named)).toEqual([
      // The directory of all unfinished writes is new.
      'fsync .',
      'fsync ./.gantry-pending/new/record.json',
      'rename ./.gantry-pending/TOKEN',
      'fsync ./.gantry-pending/TOKEN/data',
    ]);
    const after = steps.slice(named + 1, named + 4);
    expect(after.toSorted()).toEqual(['fsync .', 'fsync ./a', 'fsync ./a/b']);
  });

  test('of a long write: the data in steps, and the names above it before any data counts as durable', async () => {
    await using directory = await makeTemporaryDirectory();
    const store = new FileStore(directory.path);
    await using pending = await store.begin('disk0');
    await using calls = await watchCalls(directory.path);
    await pending.append(pieces(70));
    expect(pending.durableBytes).toBeGreaterThanOrEqual(32 * MiB);
    const [first, ...names] = calls.steps.slice(0, 4);
    expect(first).toBe('fdatasync ./.gantry-pending/TOKEN/data');
    expect(names.toSorted()).toEqual(['fsync .', 'fsync ./.gantry-pending', 'fsync ./.gantry-pending/TOKEN']);
  });

  test('of a new store: its own name', async () => {
    await using directory = await makeTemporaryDirectory();
    await using calls = await watchCalls(directory.path);
    await (await new FileStore(directory.file('store')).begin('a')).discard();
    expect(calls.steps[0]).toBe('fsync .');
  });

  test('of a removal: the directory, once for all of its objects', async () => {
    await using directory = await makeTemporaryDirectory();
    const store = new FileStore(directory.path);
    for (const key of ['a/1', 'a/2', 'kept']) await put(store, key, 0);
    await using calls = await watchCalls(directory.path);
    await store.remove(['a/1', 'a/2']);
    expect(calls.steps.toSorted()).toEqual(['fsync ./a', 'unlink ./a/1', 'unlink ./a/2']);
    expect(calls.steps.at(-1)).toBe('fsync ./a');
  });
});

describe('if the disk fails (EIO)', () => {
  /** The result of a write of 70 MiB whose nth sync fails. */
  async function failing(
    which: RegExp,
    nth: number,
  ): Promise<{ readonly failed: boolean; readonly injected: boolean; readonly left: readonly string[] }> {
    await using directory = await makeTemporaryDirectory();
    const store = new FileStore(directory.file('store'));
    let count = 0;
    let injected = false;
    const calls = await watchCalls(directory.path, (step) => {
      if (which.test(step)) count += 1;
      const fails = which.test(step) && count === nth && !injected;
      injected ||= fails;
      return fails;
    });
    let failed = false;
    try {
      await put(store, 'a/disk0', 70);
    } catch (error) {
      if (!isStoreError(error, 'unavailable')) throw error;
      failed = true;
    } finally {
      await calls[Symbol.asyncDispose]();
    }
    return { failed, injected, left: await readdir(directory.path, { recursive: true }) };
  }

  test(
    'a failed sync fails the write, even one in between that the kernel reports only once, and nothing is left',
    { timeout: 240_000 },
    async () => {
      let syncs = 0;
      for (let nth = 1; ; nth += 1) {
        const { failed, injected, left } = await failing(/^f(data)?sync /, nth);
        if (!injected) break;
        syncs += 1;
        expect(failed, `sync ${nth}`).toBe(true);
        // The first one is for the store's own name.
        expect(left, `sync ${nth}`).toEqual(nth === 1 ? [] : ['store']);
      }
      // The store's names; the record; the data in two steps, with the names once; the complete data; the two directories.
      expect(syncs).toBeGreaterThanOrEqual(9);
    },
  );

  test('a removal fails and names the object; the next attempt makes it durable', async () => {
    await using directory = await makeTemporaryDirectory();
    const store = new FileStore(directory.path);
    await put(store, 'a/b', 0);
    await put(store, 'a/kept', 0);
    {
      await using _calls = await watchCalls(directory.path, (step) => step === 'fsync ./a');
      await expect(store.remove(['a/b'])).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringMatching(/^removing a\/b .*EIO/),
      });
    }
    await using calls = await watchCalls(directory.path);
    await store.remove(['a/b']);
    expect(calls.steps).toContain('fsync ./a');
  });
});
