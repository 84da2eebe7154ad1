import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { mountFailingExt4 } from '@gantry/testkit';
import type { StoreError } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { expect, test } from 'vitest';
import { FileStore } from './file-store.ts';

/* A file system that fails while it is written to: the error names the true cause, and nothing becomes visible. */

const MiB = 1024 * 1024;
const DIGEST = createHash('sha256').update(Buffer.alloc(MiB, 'p')).digest('hex');

function open(path: string): FileStore {
  return new FileStore(path);
}

async function* pieces(count: number): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) yield Buffer.alloc(MiB, 'p');
}

async function failureOf(call: Promise<unknown>): Promise<StoreError> {
  const error = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (isStoreError(error)) return error;
  throw error ?? new Error('it did not fail');
}

test('one that turns read-only in the middle is named as that', async () => {
  await using disk = await mountFailingExt4(64 * MiB);
  await using store = open(disk.file('store'));
  const pending = await store.begin('disk0');
  await pending.append(pieces(1));
  await disk.turnReadOnly();
  const failure = await failureOf(pending.append(pieces(64)));
  expect(failure).toMatchObject({ code: 'denied', key: 'disk0', message: expect.stringMatching(/read-only/) });
  await pending.discard();
  expect(await failureOf(store.begin('disk1'))).toMatchObject({ code: 'denied', message: expect.stringMatching(/read-only/) });
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
});

test('one that is taken away is named as that, at commit and by what is begun later; nothing is written beneath', async () => {
  await using disk = await mountFailingExt4(64 * MiB);
  await using store = open(disk.path);
  const pending = await store.begin('disk0');
  await pending.append(pieces(1));
  await disk.takeAway();
  for (const call of [() => store.begin('disk1'), () => pending.commit({ size: MiB, sha256: DIGEST })]) {
    expect(await failureOf(call())).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/its file system was unmounted, or another one mounted/),
    });
  }
  expect(await readdir(disk.path)).toEqual([]);
});
