import { orAbort } from '@gantry/transport';
import type { MemoryBudget } from '../frames/memory-budget.ts';
import type { PlainPiece } from '../frames/types.ts';
import { isZero } from '../frames/zeros.ts';
import { sha256OnThread } from '../system/sha256.ts';
import { dropCachedPages } from '../system/page-cache.ts';
import { findData } from '../system/sparse.ts';
import { GantryError } from '../report/errors.ts';
import { diskCallError } from './disk-errors.ts';
import { flushDisk } from './flush-disk.ts';
import type { OpenDisk } from './open-disk.ts';
import { openDisk } from './open-disk.ts';
import { assertLargeEnough, writeBytes } from './write-device.ts';
import { Writeback } from './writeback.ts';
import { Zeroer } from './zeroer.ts';

/** A part of a disk that is known by its SHA-256: its data is needed only where the disk holds something else. */
export interface DigestedPart {
  readonly plainBytes: number;
  /** 32 bytes. */
  readonly sha256: Uint8Array;
  /** Bytes of memory that `load` needs. */
  readonly loadBytes: number;
  /** Gets the data, checked, as a part of this memory, to which nothing writes any more when this has settled. */
  readonly load: (memory: Uint8Array) => Promise<Uint8Array>;
}

/** What a disk must hold next. Bytes are valid until the next part is requested. */
export type WantedPart = PlainPiece | DigestedPart;

/** What was done with a disk, bytes. */
export interface Mended {
  /** Of the disk, from its start. */
  readonly comparedBytes: number;
  /** That were read from the disk for that: holes of a file need not be. */
  readonly readBytes: number;
  /** That differed and were written. */
  readonly writtenBytes: number;
}

export interface MendDeviceOptions {
  readonly signal: AbortSignal;
  readonly forceInUse: boolean;
  /** Shared by all disks that are compared at once. */
  readonly budget: MemoryBudget;
  /** Called before the first byte is written. */
  readonly onTouch: () => void;
  readonly onProgress: (comparedBytes: number) => void;
}

/** How many parts are compared, and their data fetched, at once: a request for each has its own latency. */
const PARTS_AT_ONCE = 8;

/** Long runs of zeros are compared in pieces. */
const ZEROS_AT_ONCE = 4 * 1024 * 1024;

/**
 * Makes the start of a disk equal to the given parts, and writes only what differs: what an earlier writer left is read and compared.
 * Resolves when everything is durable, what was there before too.
 *
 * Rejects with the errors of `parts` and their `load`, and the signal's reason.
 *
 * @throws GantryError as `writeDevice`
 */
export async function mendDevice(path: string, parts: AsyncIterable<WantedPart>, o: MendDeviceOptions): Promise<Mended> {
  o.signal.throwIfAborted();
  await using disk = await openDisk(path, o.forceInUse ? 'write shared' : 'write');
  // What counts is what the disk has, not what the cache still holds of a write that failed.
  dropCachedPages(disk.file.fd);
  await using mender = new Mender(disk, o);
  for await (const part of parts) await mender.take(part);
  await mender.settleAll();
  await flushDisk(disk);
  o.signal.throwIfAborted();
  return mender.total;
}

/** What has to be written. */
interface Differing {
  readonly piece: PlainPiece;
  /** To release when it was written. */
  readonly memory?: Uint8Array;
}

/** A part whose comparison is under way. */
interface Comparison {
  readonly start: number;
  readonly bytes: number;
  /** Undefined if the disk holds it. */
  readonly differing: Promise<Differing | undefined>;
}

class Mender implements AsyncDisposable {
  readonly #disk: OpenDisk;
  readonly #options: MendDeviceOptions;
  readonly #zeroer: Zeroer;
  readonly #writeback: Writeback;
  readonly #memory;
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  /** Resolves when all parts so far have the memory for what they load, or need none. */
  #supplied: Promise<void> = Promise.resolve();
  /** In the order of the disk. */
  readonly #running: Comparison[] = [];
  /** Everything that still uses the disk, settled or not. */
  readonly #unsettled = new Set<Promise<unknown>>();
  #at = 0;
  #comparedBytes = 0;
  #readBytes = 0;
  #writtenBytes = 0;

  constructor(disk: OpenDisk, options: MendDeviceOptions) {
    this.#disk = disk;
    this.#options = options;
    this.#zeroer = new Zeroer(disk, options.signal);
    this.#writeback = new Writeback(disk);
    this.#memory = options.budget.share();
    this.#signal = AbortSignal.any([options.signal, this.#ending.signal]);
  }

  get total(): Mended {
    return { comparedBytes: this.#comparedBytes, readBytes: this.#readBytes, writtenBytes: this.#writtenBytes };
  }

  async take(part: WantedPart): Promise<void> {
    if (part instanceof Uint8Array) {
      this.#start(part.length, (at) => this.#compareBytes(part, at));
      // The memory of the part is needed until then.
      await this.settleAll();
    } else if ('zeros' in part) {
      for (let left = part.zeros; left > 0; left -= ZEROS_AT_ONCE) await this.#takeZeros(Math.min(left, ZEROS_AT_ONCE));
    } else {
      this.#start(part.plainBytes, (at) => this.#compareDigest(part, at));
      await this.#settleDownTo(PARTS_AT_ONCE - 1);
    }
  }

  async settleAll(): Promise<void> {
    await this.#settleDownTo(0);
  }

  /** The descriptor must stay open until nothing uses it. */
  async [Symbol.asyncDispose](): Promise<void> {
    // After a failure, nothing is written any more that would release memory for the others.
    this.#ending.abort();
    await Promise.allSettled(this.#unsettled);
    await this.#writeback[Symbol.asyncDispose]();
  }

  async #takeZeros(bytes: number): Promise<void> {
    this.#start(bytes, (at) => this.#compareZeros(bytes, at));
    await this.#settleDownTo(PARTS_AT_ONCE - 1);
  }

  #start(bytes: number, compare: (at: number) => Promise<Differing | undefined>): void {
    const start = this.#at;
    assertLargeEnough(this.#disk, start + bytes);
    const differing = compare(start);
    this.#at += bytes;
    this.#unsettled.add(differing);
    // A failure is thrown when its turn comes.
    differing.catch(() => undefined).finally(() => this.#unsettled.delete(differing));
    this.#running.push({ start, bytes, differing });
  }

  async #settleDownTo(count: number): Promise<void> {
    while (this.#running.length > count) {
      const next = this.#running.shift();
      if (next === undefined) return;
      const differing = await orAbort(next.differing, this.#options.signal);
      if (differing !== undefined) await this.#write(differing.piece, next);
      if (differing?.memory !== undefined) this.#memory.release(differing.memory);
      this.#comparedBytes += next.bytes;
      await this.#writeback.reached(next.start + next.bytes);
      this.#options.onProgress(this.#comparedBytes);
    }
  }

  async #write(piece: PlainPiece, { start, bytes }: Comparison): Promise<void> {
    this.#options.onTouch();
    if (piece instanceof Uint8Array) await writeBytes(this.#disk, this.#zeroer, piece, start);
    else await this.#zeroer.zero(start, start + bytes);
    this.#writtenBytes += bytes;
  }

  async #compareBytes(wanted: Uint8Array, at: number): Promise<Differing | undefined> {
    const isSame = await this.#withContents(wanted.length, at, async (found) => Buffer.compare(found, wanted) === 0);
    return isSame ? undefined : { piece: wanted };
  }

  async #compareDigest(part: DigestedPart, at: number): Promise<Differing | undefined> {
    const memory = await this.#memoryIfDifferent(part, at);
    if (memory === undefined) return undefined;
    try {
      return { piece: await part.load(memory), memory };
    } catch (error) {
      this.#memory.release(memory);
      throw error;
    }
  }

  /**
   * Memory for the data of a part that the disk does not hold. Parts get it in the order in which they are written, since that releases it:
   * otherwise later ones could have all of it while the first one waits.
   */
  async #memoryIfDifferent({ plainBytes, sha256, loadBytes }: DigestedPart, at: number): Promise<Uint8Array | undefined> {
    const earlier = this.#supplied;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#supplied = promise;
    try {
      const isSame = await this.#withContents(plainBytes, at, async (found) => Buffer.compare(await sha256OnThread(found), sha256) === 0);
      await earlier;
      return isSame ? undefined : await this.#memory.acquire(loadBytes, this.#signal);
    } finally {
      resolve();
    }
  }

  async #compareZeros(bytes: number, at: number): Promise<Differing | undefined> {
    if (this.#isHole(at, at + bytes)) return undefined;
    return (await this.#withContents(bytes, at, async (found) => isZero(found))) ? undefined : { piece: { zeros: bytes } };
  }

  #isHole(start: number, end: number): boolean {
    if (this.#disk.kind === 'block') return false;
    try {
      return (findData(this.#disk.file.fd, start) ?? Infinity) >= end;
    } catch (error) {
      throw diskCallError(this.#disk.path, 'find holes in', error);
    }
  }

  async #withContents<T>(bytes: number, at: number, use: (found: Uint8Array) => Promise<T>): Promise<T> {
    const buffer = await this.#memory.acquire(bytes, this.#signal);
    try {
      await this.#read(buffer, at);
      return await use(buffer);
    } finally {
      this.#memory.release(buffer);
    }
  }

  async #read(buffer: Uint8Array, at: number): Promise<void> {
    try {
      for (let done = 0; done < buffer.length;) {
        const { bytesRead } = await this.#disk.file.read(buffer, done, buffer.length - done, at + done);
        if (bytesRead === 0) throw endsEarly(this.#disk, at + done);
        done += bytesRead;
        this.#readBytes += bytesRead;
      }
    } catch (error) {
      throw diskCallError(this.#disk.path, `read at byte ${at} of`, error);
    }
  }
}

function endsEarly({ path, bytes }: OpenDisk, at: number): GantryError {
  return new GantryError('DISK_IO', {
    message: `cannot read ${path} at byte ${at}: its size was ${bytes} bytes and changed meanwhile`,
    hint: 'Import while nothing resizes it.',
  });
}
