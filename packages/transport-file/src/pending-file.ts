import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallOptions, Digest, ObjectInfo, PendingObject } from '@gantry/transport';
import { StoreError, abortable } from '@gantry/transport';
import { syncDirectory } from './durable.ts';
import { thisProcess } from './owner.ts';
import type { PendingPlace, PendingRecord } from './pending-room.ts';
import { newDataName, removePlace, writeRecord } from './pending-room.ts';
import { isThere, publish } from './publish.ts';
import { asStoreError, systemErrorCode } from './system-error.ts';

/**
 * How much is made durable at once, bytes, while as much again is being written: twice this bounds what the system holds back, and
 * what a crash costs.
 */
const SYNC_EVERY_BYTES = 32 * 1024 * 1024;

const READ_BYTES = 1024 * 1024;

/** For larger calls Linux looks for memory in larger pieces, which it took up to five times as long to fill. Bytes. */
const MOST_AT_ONCE = 256 * 1024;

/** A writer's own file, open for appending, with the digest and number of the bytes that it has. */
interface OpenData {
  readonly file: FileHandle;
  readonly hash: Hash;
  readonly size: number;
}

/** An unfinished write: a file that nobody sees, until commit gives it its name. */
export class PendingFile implements PendingObject {
  readonly key: string;
  readonly token: string;
  readonly #root: string;
  readonly #place: PendingPlace;
  readonly #ifExists: PendingRecord['ifExists'];
  readonly #data: string;
  readonly #file: FileHandle;
  readonly #hash: Hash;
  #written: number;
  #durable: number;
  /** What is written up to here is durable, or is just being made so. */
  #syncedUpTo: number;
  #syncing: Promise<void> = Promise.resolve();
  #state: 'open' | 'failed' | 'ended' = 'open';

  private constructor(root: string, place: PendingPlace, record: PendingRecord, { file, hash, size }: OpenData) {
    this.#root = root;
    this.#place = place;
    this.key = record.key;
    this.token = place.token;
    this.#ifExists = record.ifExists;
    this.#data = join(place.directory, record.data);
    this.#file = file;
    this.#hash = hash;
    this.#written = size;
    this.#durable = size;
    this.#syncedUpTo = size;
  }

  /** Begins in a new place. */
  static async create(root: string, place: PendingPlace, record: PendingRecord): Promise<PendingFile> {
    const file = await open(join(place.directory, record.data), 'wx', 0o600);
    try {
      await syncDirectory(place.directory);
      return new PendingFile(root, place, record, { file, hash: createHash('sha256'), size: 0 });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * Goes on where another writer stopped. With a copy, since who looks dead may only be slow: it keeps a file that nobody will
   * look at again, whatever it still writes.
   */
  static async takeOver(root: string, place: PendingPlace, before: PendingRecord, signal: AbortSignal | undefined): Promise<PendingFile> {
    const record = { ...before, owner: await thisProcess(), data: newDataName() };
    const path = join(place.directory, record.data);
    const data = await copyData(join(place.directory, before.data), path, before.key, signal);
    try {
      await syncDirectory(place.directory);
      await writeRecord(place, record);
      await rm(join(place.directory, before.data), { force: true });
      return new PendingFile(root, place, record, data);
    } catch (error) {
      await data.file.close();
      await rm(path, { force: true });
      throw error;
    }
  }

  get durableBytes(): number {
    return this.#durable;
  }

  async append(source: AsyncIterable<Uint8Array>, { signal }: CallOptions = {}): Promise<void> {
    this.#assertOpen();
    try {
      // What the source throws comes through as it is, so only what is done with the file is translated.
      for await (const chunk of abortable(source, signal)) {
        await this.#doing('writing', () => this.#take(chunk));
      }
      signal?.throwIfAborted();
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }

  async commit(digest: Digest, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    this.#assertOpen();
    this.#state = 'ended';
    let committed = false;
    try {
      signal?.throwIfAborted();
      this.#compare(digest);
      const info = await this.#doing('committing', () => this.#finish());
      signal?.throwIfAborted();
      await this.#doing('committing', () => publish(this.#root, this.key, this.#data, this.#ifExists));
      committed = true;
      return info;
    } finally {
      // What cannot be removed is named by `pending`; it must not hide how the commit went.
      await this.#end(committed).catch(() => undefined);
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#doing('discarding', () => this.#end(false));
  }

  async suspend(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#doing('suspending', async () => {
      try {
        await this.#syncing;
        await this.#sync(this.#written);
      } finally {
        await this.#file.close();
      }
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.discard();
  }

  #assertOpen(): void {
    if (this.#state === 'open') return;
    throw new StoreError('unsupported', { message: `the write of ${this.key} has ${this.#state}; it takes no more calls`, key: this.key });
  }

  async #take(chunk: Uint8Array): Promise<void> {
    const written = writeFully(this.#file, chunk);
    // On this thread, while another one writes.
    this.#hash.update(chunk);
    await written;
    this.#written += chunk.length;
    if (this.#written - this.#syncedUpTo >= SYNC_EVERY_BYTES) await this.#beginSync();
  }

  /** Makes durable what was written so far, while more comes. Throws what the one before failed with: the system may not say it twice. */
  async #beginSync(): Promise<void> {
    await this.#syncing;
    this.#syncedUpTo = this.#written;
    this.#syncing = this.#sync(this.#written);
    // It is heard by who waits for it: the next sync, or the end.
    this.#syncing.catch(() => undefined);
  }

  async #sync(written: number): Promise<void> {
    await this.#file.datasync();
    this.#durable = written;
  }

  #compare({ size, sha256 }: Digest): void {
    const actual = this.#hash.copy().digest('hex');
    if (size === this.#written && sha256 === actual) return;
    throw new StoreError('integrity', {
      key: this.key,
      message: `${this.key} should have ${size} bytes with SHA-256 ${sha256}, but ${this.#written} bytes with ${actual} arrived`,
      hint: 'The data was changed on its way: check memory and disks of this machine, and try again.',
    });
  }

  /** Makes the content durable, and as old as the commit. */
  async #finish(): Promise<ObjectInfo> {
    await this.#syncing;
    const now = new Date();
    await this.#file.utimes(now, now);
    await this.#file.sync();
    const { size, mtime } = await this.#file.stat();
    return { key: this.key, size, modified: mtime };
  }

  async #end(committed: boolean): Promise<void> {
    try {
      await this.#syncing.catch(() => undefined);
      await this.#file.close();
    } finally {
      // Without its own file, the place is somebody else's by now.
      if (committed || (await isThere(this.#data))) await removePlace(this.#root, this.#place);
    }
  }

  async #doing<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw asStoreError(error, `${doing} ${this.key} in ${this.#root}`, this.key);
    }
  }
}

/** Copies what a writer left into a file of one's own, durably. @throws StoreError `not-found` */
async function copyData(from: string, to: string, key: string, signal: AbortSignal | undefined): Promise<OpenData> {
  await using source = await openLeft(from, key);
  const file = await open(to, 'wx', 0o600);
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    let size = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await source.read(buffer, 0, buffer.length, size);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      await writeFully(file, buffer.subarray(0, bytesRead));
      size += bytesRead;
    }
    await file.datasync();
    return { file, hash, size };
  } catch (error) {
    await file.close();
    await rm(to, { force: true });
    throw error;
  }
}

async function openLeft(path: string, key: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw endedAlready(key);
    throw error;
  }
  // Two names: its writer was killed just after it had linked the object, before it removed the rest.
  if ((await file.stat()).nlink === 1) return file;
  await file.close();
  throw endedAlready(key);
}

async function writeFully(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let offset = 0; offset < chunk.length;) {
    offset += (await file.write(chunk, offset, Math.min(chunk.length - offset, MOST_AT_ONCE))).bytesWritten;
  }
}

function endedAlready(key: string): StoreError {
  return new StoreError('not-found', {
    key,
    message: `the write of ${key} was committed or taken over already`,
    hint: 'Clear it; an object that was committed stays.',
  });
}
