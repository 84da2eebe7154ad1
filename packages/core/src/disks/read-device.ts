import { GantryError } from '../report/errors.ts';
import type { PartsReader } from '../frames/plain-reader.ts';
import type { Hole } from '../frames/types.ts';
import { dropCachedPages } from '../system/page-cache.ts';
import { findData, findHole } from '../system/sparse.ts';
import { diskCallError } from './disk-errors.ts';
import type { OpenDisk } from './open-disk.ts';
import { openDisk } from './open-disk.ts';

/** A range of a disk that follows what was read, up to `end`, bytes. */
interface Extent {
  readonly kind: 'data' | 'hole';
  readonly end: number;
}

/**
 * Reads the contents of a block device or file, or parts of it, in order. The holes of a file are not read: a file of 100 GiB with 1 GiB of data takes
 * as long as one of 1 GiB.
 *
 * Reading throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, and `DISK_IO` if the disk cannot be read or its size changes
 * meanwhile.
 */
export class DeviceReader implements PartsReader, AsyncDisposable {
  readonly #path: string;
  readonly #skipCache: boolean;
  #opening: Promise<OpenDisk> | undefined;
  /** Of what was selected; up to the end of the disk if undefined. */
  #end: number | undefined;
  #at = 0;
  #extents: Generator<Extent, void, undefined> | undefined;
  #extent: Extent | undefined;
  #reading: Promise<unknown> | undefined;

  /**
   * @param path opened by the first read
   * @param skipCache what earlier reads of a device left in the page cache is not used: a mounted file system, or a guest of Xen, writes
   *   to the device without updating it
   */
  constructor(path: string, { skipCache = false }: { readonly skipCache?: boolean | undefined } = {}) {
    this.#path = path;
    this.#skipCache = skipCache;
  }

  select(offset: number, length: number): void {
    this.#at = offset;
    this.#end = offset + length;
    this.#extents = undefined;
    this.#extent = undefined;
  }

  async read(output: Uint8Array): Promise<number | Hole | undefined> {
    this.#opening ??= this.#open();
    const disk = await this.#opening;
    const extent = this.#current(disk);
    const start = this.#at;
    if (extent === undefined) {
      await assertSameSize(disk);
      return undefined;
    }
    const { kind, end } = extent;
    if (kind === 'hole') {
      this.#at = end;
      return { zeros: end - start };
    }
    const reading = readSome(disk, output.subarray(0, end - start), start);
    this.#reading = reading;
    const bytes = await reading;
    if (bytes === 0) throw changedSize(disk);
    this.#at = start + bytes;
    return bytes;
  }

  /** Waits for an unfinished read: the descriptor must stay open until then. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reading?.catch(() => undefined);
    const disk = await this.#opening?.catch(() => undefined);
    await disk?.[Symbol.asyncDispose]();
  }

  async #open(): Promise<OpenDisk> {
    const disk = await openDisk(this.#path, 'read');
    if (this.#skipCache && disk.kind === 'block') dropCachedPages(disk.file.fd);
    return disk;
  }

  #current(disk: OpenDisk): Extent | undefined {
    if (this.#extent !== undefined && this.#at < this.#extent.end) return this.#extent;
    const end = this.#end ?? disk.bytes;
    if (end > disk.bytes) throw changedSize(disk);
    this.#extents ??= extents(disk, this.#at, end);
    const step = this.#extents.next();
    this.#extent = step.done === true ? undefined : step.value;
    return this.#extent;
  }
}

function* extents({ file, path, kind }: OpenDisk, start: number, end: number): Generator<Extent, void, undefined> {
  if (kind === 'block') {
    if (end > start) yield { kind: 'data', end };
    return;
  }
  try {
    for (let at = start; at < end;) {
      const data = Math.min(findData(file.fd, at) ?? end, end);
      if (data > at) yield { kind: 'hole', end: data };
      if (data === end) return;
      at = Math.min(findHole(file.fd, data) ?? end, end);
      yield { kind: 'data', end: at };
    }
  } catch (error) {
    throw diskCallError(path, 'find holes in', error);
  }
}

async function readSome(disk: OpenDisk, output: Uint8Array, at: number): Promise<number> {
  try {
    return (await disk.file.read(output, 0, output.length, at)).bytesRead;
  } catch (error) {
    throw diskCallError(disk.path, `read at byte ${at} of`, error);
  }
}

async function assertSameSize(disk: OpenDisk): Promise<void> {
  if (disk.kind === 'file' && (await disk.file.stat()).size !== disk.bytes) throw changedSize(disk);
}

function changedSize({ path, bytes }: OpenDisk): GantryError {
  return new GantryError('DISK_IO', {
    message: `cannot read ${path}: its size was ${bytes} bytes and changed while it was read`,
    hint: 'Export it from a snapshot, or while nothing resizes it.',
  });
}
