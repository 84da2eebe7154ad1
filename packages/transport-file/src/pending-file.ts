import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { link, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CallOptions, Digest, ObjectInfo, PendingObject } from '@gantry/transport';
import { StoreError, abortable } from '@gantry/transport';
import { makeDirectory, syncDirectory } from './durable.ts';
import type { PendingPlace, PendingRecord } from './pending-room.ts';
import { removePlace } from './pending-room.ts';
import { removeEmptyParents } from './empty-parents.ts';
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
      if (size > 0) await file.datasync();
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
      for await (const chunk of abortable(source, signal)) {
        this.#hash.update(chunk);
        await this.#write(chunk);
        if (this.#written - this.#durable >= SYNC_EVERY_BYTES) await this.#sync();
      }
      signal?.throwIfAborted();
    } catch (error) {
      this.#state = 'failed';
      throw asStoreError(error, `writing ${this.key}`, this.key);
    }
  }

  async commit(digest: Digest, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    this.#assertOpen();
    this.#state = 'failed';
    try {
      signal?.throwIfAborted();
      this.#compare(digest);
      await this.#file.sync();
      signal?.throwIfAborted();
      await this.#publish();
      this.#state = 'ended';
      const { size, mtime } = await this.#file.stat();
      return { key: this.key, size, modified: mtime };
    } catch (error) {
      throw asStoreError(error, `committing ${this.key}`, this.key);
    } finally {
      await this.#end();
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#end();
  }

  async suspend(): Promise<void> {
    if (this.#state === 'ended') return;
    await this.#sync();
    this.#state = 'ended';
    await this.#file.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.discard();
  }

  #assertOpen(): void {
    if (this.#state === 'open') return;
    throw new StoreError('unsupported', { message: `the write of ${this.key} has ${this.#state}; it takes no more calls`, key: this.key });
  }

  async #write(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.length;) {
      const { bytesWritten } = await this.#file.write(chunk, offset, chunk.length - offset);
      offset += bytesWritten;
      this.#written += bytesWritten;
    }
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

  /** Gives the file its name. A link fails where the name is taken; a rename takes the old one's place; both at once. */
  async #publish(): Promise<void> {
    const path = join(this.#root, this.key);
    try {
      await makeDirectory(dirname(path));
      if (this.#ifExists === 'fail') {
        await link(this.#place.data, path);
        await syncDirectory(dirname(path)).catch(async (error: unknown) => {
          await unlink(path);
          throw error;
        });
        return;
      }
      if (await isDirectory(path)) throw new StoreError('exists', { message: `${this.key} is the beginning of other keys`, key: this.key });
      await rename(this.#place.data, path);
      await syncDirectory(dirname(path));
    } catch (error) {
      await removeEmptyParents(this.#root, this.key);
      throw error;
    }
  }

  async #end(): Promise<void> {
    await this.#file.close();
    await removePlace(this.#root, this.#place);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
