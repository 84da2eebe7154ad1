import { zeroChunks } from '../frames/zeros.ts';
import { findData, punchHole, zeroRange } from '../system/sparse.ts';
import { diskCallError } from './disk-errors.ts';
import type { OpenDisk } from './open-disk.ts';
import { writeAll } from './write-all.ts';

/** A device may have to write the zeros, and the call cannot be interrupted. */
const DEVICE_STEP_BYTES = 64 * 1024 * 1024;
const FILE_STEP_BYTES = 64 * 1024 * 1024 * 1024;
/** A multiple of any device's logical block (ioctl BLKSSZGET), as fallocate(2) requires. */
const DEVICE_BLOCK_BYTES = 4096;

/**
 * Makes ranges of a disk read as zeros, by the cheapest method that works: nothing for an existing hole of a file, a new hole, the
 * device's own zeroing, or written zeros.
 *
 * Ranges must be passed in order, from the start of the disk.
 */
export class Zeroer {
  readonly #disk: OpenDisk;
  readonly #signal: AbortSignal;
  #methods: readonly ZeroMethod[];
  /** A file has no data from the last range up to here. */
  #holeUpTo = 0;

  constructor(disk: OpenDisk, signal: AbortSignal) {
    this.#disk = disk;
    this.#signal = signal;
    this.#methods = disk.kind === 'file' ? [punchHole] : [punchHole, zeroRange];
  }

  /** @throws GantryError `DISK_IO` and others; the signal's reason */
  async zero(start: number, end: number): Promise<void> {
    if (this.#disk.kind === 'block') {
      const from = Math.min(end, start + ((DEVICE_BLOCK_BYTES - (start % DEVICE_BLOCK_BYTES)) % DEVICE_BLOCK_BYTES));
      const upTo = Math.max(from, end - (end % DEVICE_BLOCK_BYTES));
      await this.#write(start, from);
      await this.#inSteps(from, upTo, DEVICE_STEP_BYTES);
      await this.#write(upTo, end);
      return;
    }
    if (end <= this.#holeUpTo) return;
    const data = this.#findData(start);
    this.#holeUpTo = data;
    if (data < end) await this.#inSteps(data, end, FILE_STEP_BYTES);
  }

  #findData(start: number): number {
    try {
      return findData(this.#disk.file.fd, start) ?? Infinity;
    } catch (error) {
      throw diskCallError(this.#disk.path, 'find holes in', error);
    }
  }

  async #inSteps(start: number, end: number, stepBytes: number): Promise<void> {
    for (let at = start; at < end;) {
      this.#signal.throwIfAborted();
      const bytes = Math.min(stepBytes, end - at);
      if (!(await this.#tryMethods(at, bytes))) await this.#write(at, at + bytes);
      at += bytes;
    }
  }

  /** A method that is not supported is not tried again. */
  async #tryMethods(at: number, bytes: number): Promise<boolean> {
    for (;;) {
      const [method, ...others] = this.#methods;
      if (method === undefined) return false;
      try {
        if (await method(this.#disk.file.fd, at, bytes)) return true;
      } catch (error) {
        throw diskCallError(this.#disk.path, `zero ${bytes} bytes at byte ${at} of`, error);
      }
      this.#methods = others;
    }
  }

  async #write(start: number, end: number): Promise<void> {
    let at = start;
    for (const zeros of zeroChunks(end - start)) {
      this.#signal.throwIfAborted();
      await writeAll(this.#disk, zeros, at);
      at += zeros.length;
    }
  }
}

type ZeroMethod = (fd: number, offset: number, bytes: number) => Promise<boolean>;
