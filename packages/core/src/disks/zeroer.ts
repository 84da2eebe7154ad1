import { zeroChunks } from '../frames/zeros.ts';
import { findData, punchHole, zeroRange } from '../system/sparse.ts';
import { diskCallError } from './disk-errors.ts';
import type { OpenDisk } from './open-disk.ts';
import { writeAll } from './write-all.ts';

/** A device may have to write the zeros that it is asked for, and cannot be stopped meanwhile. */
const DEVICE_STEP_BYTES = 64 * 1024 * 1024;
const FILE_STEP_BYTES = 64 * 1024 * 1024 * 1024;
/** A multiple of any device's logical block (ioctl BLKSSZGET), which fallocate(2) insists on. */
const DEVICE_BLOCK_BYTES = 4096;

/**
 * Makes ranges of a disk read as zeros, in the cheapest way that the disk has: nothing where a file has a hole already, a hole
 * where it can be had, the device's own way to zero, and zeros written where there is no other.
 *
 * To be asked for one range after the other, from the start of the disk on.
 */
export class Zeroer {
  readonly #disk: OpenDisk;
  readonly #signal: AbortSignal;
  #ways: readonly Way[];
  /** A file has no data from what was asked for last up to here. */
  #holeUpTo = 0;

  constructor(disk: OpenDisk, signal: AbortSignal) {
    this.#disk = disk;
    this.#signal = signal;
    this.#ways = disk.kind === 'file' ? [punchHole] : [punchHole, zeroRange];
  }

  /** @throws GantryError `DISK_IO` and others; the reason of the signal */
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
      throw diskCallError(this.#disk.path, 'looking for holes in', error);
    }
  }

  async #inSteps(start: number, end: number, stepBytes: number): Promise<void> {
    for (let at = start; at < end;) {
      this.#signal.throwIfAborted();
      const bytes = Math.min(stepBytes, end - at);
      if (!(await this.#anyWay(at, bytes))) await this.#write(at, at + bytes);
      at += bytes;
    }
  }

  /** A way that does not work is not tried again. */
  async #anyWay(at: number, bytes: number): Promise<boolean> {
    for (;;) {
      const [way, ...others] = this.#ways;
      if (way === undefined) return false;
      try {
        if (await way(this.#disk.file.fd, at, bytes)) return true;
      } catch (error) {
        throw diskCallError(this.#disk.path, `zeroing ${bytes} bytes from byte ${at} of`, error);
      }
      this.#ways = others;
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

type Way = (fd: number, offset: number, bytes: number) => Promise<boolean>;
