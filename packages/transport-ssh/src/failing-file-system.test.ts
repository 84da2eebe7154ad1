import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { mountFailingExt4 } from '@gantry/testkit';
import type { StoreError } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { expect, test } from 'vitest';
import { localSftp } from '../test/local-sftp.ts';
import { parseAddress } from './address.ts';
import { SshStore } from './ssh-store.ts';

/* A file system that fails while it is written to: the error names the true cause, and nothing becomes visible. */

const MiB = 1024 * 1024;
const DIGEST = createHash('sha256').update(Buffer.alloc(MiB, 'p')).digest('hex');

function open(path: string): SshStore {
  return new SshStore(localSftp(), parseAddress(new URL(`ssh://peer${path}`)), () => undefined);
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
  expect(failure).toMatchObject({ key: 'disk0', message: expect.stringMatching(/read-only/) });
  await pending.discard();
  // Linux since 6.16 does not show it in statvfs(3), and SFTP says "failure" for everything: there the hint has to do.
  const { message, hint } = await failureOf(store.begin('disk1'));
  expect(`${message} ${hint}`).toMatch(/read-only/);
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
