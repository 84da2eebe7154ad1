import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import type { Store, StoreError } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';

const MiB = 1024 * 1024;
const DIGEST = { size: MiB, sha256: createHash('sha256').update(Buffer.alloc(MiB, 'p')).digest('hex') };

/** A mounted file system that can be made to fail while it is in use. */
export interface FailingFileSystem extends AsyncDisposable {
  readonly path: string;
  file(...names: readonly string[]): string;
  turnReadOnly(): Promise<void>;
  takeAway(): Promise<void>;
}

export interface FailingFileSystemOptions {
  /** Mounts a new file system of this size. */
  readonly mount: (bytes: number) => Promise<FailingFileSystem>;
  readonly open: (path: string) => Store;
  /** Whether the message itself must say read-only, with `denied`. Otherwise the hint may say it: SFTP has only "failure". */
  readonly knowsReadOnly: boolean;
}

export interface FailingFileSystemCase {
  readonly title: string;
  readonly run: () => Promise<void>;
}

/** What a directory store must do on a file system that fails during a write: name the true cause, and make nothing visible. */
export function failingFileSystem({ mount, open, knowsReadOnly }: FailingFileSystemOptions): readonly FailingFileSystemCase[] {
  return [
    {
      title: 'a file system that turns read-only during a write is named as the cause',
      run: async () => {
        await using disk = await mount(64 * MiB);
        await using store = open(disk.file('store'));
        const pending = await store.begin('disk0');
        await pending.append(pieces(1));
        await disk.turnReadOnly();
        const failure = await failureOf(pending.append(pieces(64)));
        assert.equal(failure.key, 'disk0');
        assert.match(failure.message, /read-only/);
        await pending.discard();
        const later = await failureOf(store.begin('disk1'));
        assert.match(knowsReadOnly ? later.message : `${later.message} ${later.hint}`, /read-only/);
        if (knowsReadOnly) assert.deepEqual([failure.code, later.code], ['denied', 'denied']);
        assert.deepEqual(await Array.fromAsync(store.list('')), []);
      },
    },
    {
      title: 'a file system that is unmounted during a write is named as the cause, and nothing is written below its mount point',
      run: async () => {
        await using disk = await mount(64 * MiB);
        await using store = open(disk.path);
        const pending = await store.begin('disk0');
        await pending.append(pieces(1));
        await disk.takeAway();
        for (const call of [() => store.begin('disk1'), () => pending.commit(DIGEST)]) {
          const failure = await failureOf(call());
          assert.equal(failure.code, 'unavailable');
          assert.match(failure.message, /its file system was unmounted, or another one mounted/);
        }
        assert.deepEqual(await readdir(disk.path), []);
      },
    },
  ];
}

async function* pieces(count: number): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) yield Buffer.alloc(MiB, 'p');
}

async function failureOf(call: Promise<unknown>): Promise<StoreError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (isStoreError(error)) return error;
  throw error ?? new Error('the call did not fail');
}
