import { startWriteback } from '../system/writeback.ts';
import type { OpenDisk } from './open-disk.ts';

/** Small enough to start soon, large enough to be written efficiently. */
const STEP_BYTES = 32 * 1024 * 1024;

/**
 * Keeps the disk busy while more data arrives. By default the kernel holds data back for seconds, or up to a tenth of the memory, and the
 * flush at the end then takes as long as writing all of that.
 */
export class Writeback implements AsyncDisposable {
  readonly #disk: OpenDisk;
  #startedUpTo = 0;
  #unfinished: Promise<void> = Promise.resolve();

  constructor(disk: OpenDisk) {
    this.#disk = disk;
  }

  /** To be called when everything up to `at`, bytes from the disk's start, was written. */
  async reached(at: number): Promise<void> {
    if (at - this.#startedUpTo < STEP_BYTES) return;
    await this.#unfinished;
    // If this is not supported, only the flush at the end takes longer.
    this.#unfinished = startWriteback(this.#disk.file.fd, this.#startedUpTo, at - this.#startedUpTo).catch(() => undefined);
    this.#startedUpTo = at;
  }

  /** Waits for an unfinished call: the descriptor must stay open until then. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unfinished;
  }
}
