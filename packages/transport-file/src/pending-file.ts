import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import type { CallOptions, Digest, ObjectInfo, PendingObject } from '@gantry/transport';
import { StoreError, abortable } from '@gantry/transport';
import { syncDirectory } from './durable.ts';
import type { PendingPlace, PendingRecord } from './pending-room.ts';
import { removePlace } from './pending-room.ts';
import { publish } from './publish.ts';
import { asStoreError } from './system-error.ts';

/** How much may be written before it is made durable, bytes: bounds what the system holds back, and what a crash costs. */
const SYNC_EVERY_BYTES = 64 * 1024 * 1024;

const READ_BYTES = 1024 * 1024;

/** An unfinished write: a file that nobody sees, until commit gives it its name. */
export class PendingFile implements PendingObject {
  readonly key: string;
  readonly token: string;
  readonly #root: string;
  readonly #place: PendingPlace;
  readonly #ifExists: PendingRecord['ifExists'];
  readonly #file: FileHandle;
  readonly #hash: Hash;
  #written: number;
  #durable: number;
  #state: 'open' | 'failed' | 'ended' = 'open';

  private constructor(root: string, place: PendingPlace, record: PendingRecord, file: FileHandle, hash: Hash, size: number) {
    this.#root = root;
    this.#place = place;
    this.key = record.key;
    this.token = place.token;
    this.#ifExists = record.ifExists;
    this.#file = file;
    this.#hash = hash;
    this.#written = size;
    this.#durable = size;
  }

  /** Opens the data of a write; what is there already is read once more, for the digest of the whole. */
  static async open(root: string, place: PendingPlace, record: PendingRecord, signal: AbortSignal | undefined): Promise<PendingFile> {
    const file = await open(place.data, 'a+', 0o600);
    try {
      if ((await file.stat()).nlink > 1) throw committedAlready(record.key);
      const hash = createHash('sha256');
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      let size = 0;
      for (;;) {
        signal?.throwIfAborted();
        const { bytesRead } = await file.read(buffer, 0, buffer.length, size);
        if (bytesRead === 0) break;
        hash.update(buffer.subarray(0, bytesRead));
        size += bytesRead;
      }
      await file.datasync();
      await syncDirectory(place.directory);
      return new PendingFile(root, place, record, file, hash, size);
    } catch (error) {
      await file.close();
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
    try {
      signal?.throwIfAborted();
      this.#compare(digest);
      const info = await this.#doing('committing', () => this.#finish());
      signal?.throwIfAborted();
      await this.#doing('committing', () => publish(this.#root, this.key, this.#place.data, this.#ifExists));
      return info;
    } finally {
      // What cannot be removed is named by `pending`; it must not hide how the commit went.
      await this.#end().catch(() => undefined);
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#doing('discarding', () => this.#end());
  }

  async suspend(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#doing('suspending', async () => {
      try {
        await this.#sync();
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
    this.#hash.update(chunk);
    for (let offset = 0; offset < chunk.length;) {
      const { bytesWritten } = await this.#file.write(chunk, offset, chunk.length - offset);
      offset += bytesWritten;
      this.#written += bytesWritten;
    }
    if (this.#written - this.#durable >= SYNC_EVERY_BYTES) await this.#sync();
  }

  async #sync(): Promise<void> {
    await this.#file.datasync();
    this.#durable = this.#written;
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
    const now = new Date();
    await this.#file.utimes(now, now);
    await this.#file.sync();
    const { size, mtime } = await this.#file.stat();
    // The file is only ever appended to, so a second writer of the same token shows by the size.
    if (size !== this.#written) {
      throw new StoreError('integrity', {
        key: this.key,
        message: `the unfinished file of ${this.key} has ${size} bytes, but ${this.#written} were written: somebody else wrote to it`,
        hint: 'Let only one process resume a write.',
      });
    }
    return { key: this.key, size, modified: mtime };
  }

  async #end(): Promise<void> {
    try {
      await this.#file.close();
    } finally {
      await removePlace(this.#root, this.#place);
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

/** Its writer was killed just after it had linked the object, before it removed the rest: another byte would change the object. */
function committedAlready(key: string): StoreError {
  return new StoreError('not-found', { message: `the write of ${key} was committed already`, key, hint: 'Clear it; the object stays.' });
}
