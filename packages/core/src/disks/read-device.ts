import { GantryError } from '../report/errors.ts';
import type { PlainReader } from '../frames/plain-reader.ts';
import type { Hole } from '../frames/types.ts';
import { dropCachedPages } from '../system/page-cache.ts';
import { findData, findHole } from '../system/sparse.ts';
import { diskCallError } from './disk-errors.ts';
import type { OpenDisk } from './open-disk.ts';
import { openDisk } from './open-disk.ts';

/** A range of a disk, from `start` up to `end`, bytes. */
interface Extent {
  readonly kind: 'data' | 'hole';
  readonly start: number;
  readonly end: number;
}

/**
 * Reads the contents of a block device or file, in order. The holes of a file are not read: a file of 100 GiB with 1 GiB of data takes
 * as long as one of 1 GiB.
 *
 * Reading throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, and `DISK_IO` if the disk cannot be read or its size changes
 * meanwhile.
 */
export class DeviceReader implements PlainReader, AsyncDisposable {
  readonly #path: string;
  readonly #skipCache: boolean;
  #opening: Promise<OpenDisk> | undefined;
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

  async read(output: Uint8Array): Promise<number | Hole | undefined> {
    this.#opening ??= this.#open();
    const disk = await this.#opening;
    const extent = this.#extent ?? this.#next(disk);
    this.#extent = undefined;
    if (extent === undefined) {
      await assertSameSize(disk);
      return undefined;
    }
    const { kind, start, end } = extent;
    if (kind === 'hole') return { zeros: end - start };
    const reading = readSome(disk, output.subarray(0, end - start), start);
    this.#reading = reading;
    const bytes = await reading;
    if (bytes === 0) throw changedSize(disk);
    if (start + bytes < end) this.#extent = { kind, start: start + bytes, end };
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

  #next(disk: OpenDisk): Extent | undefined {
    this.#extents ??= extents(disk);
    const step = this.#extents.next();
    return step.done === true ? undefined : step.value;
  }
}

function* extents({ file, path, kind, bytes }: OpenDisk): Generator<Extent, void, undefined> {
  if (kind === 'block') {
    if (bytes > 0) yield { kind: 'data', start: 0, end: bytes };
    return;
  }
  try {
    for (let at = 0; at < bytes;) {
      const data = Math.min(findData(file.fd, at) ?? bytes, bytes);
      if (data > at) yield { kind: 'hole', start: at, end: data };
      if (data === bytes) return;
      const hole = Math.min(findHole(file.fd, data) ?? bytes, bytes);
      yield { kind: 'data', start: data, end: hole };
      at = hole;
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
