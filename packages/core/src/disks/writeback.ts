import { startWriteback } from '../system/writeback.ts';
import type { OpenDisk } from './open-disk.ts';

/** Small enough to begin soon, large enough to be written in one go. */
const STEP_BYTES = 32 * 1024 * 1024;

/**
 * Keeps the disk writing while more comes. Left to itself the system holds everything back for seconds, or up to a tenth of the
 * memory, and making it durable at the end then takes as long as writing all of that.
 */
export class Writeback implements AsyncDisposable {
  readonly #disk: OpenDisk;
  #begunUpTo = 0;
  #underWay: Promise<void> = Promise.resolve();

  constructor(disk: OpenDisk) {
    this.#disk = disk;
  }

  /** Everything up to there, bytes from the disk's start, was written. */
  async reached(at: number): Promise<void> {
    if (at - this.#begunUpTo < STEP_BYTES) return;
    await this.#underWay;
    // Where it cannot be had, the end takes longer, and that is all.
    this.#underWay = startWriteback(this.#disk.file.fd, this.#begunUpTo, at - this.#begunUpTo).catch(() => undefined);
    this.#begunUpTo = at;
  }

  /** A call that is under way must not outlive the descriptor. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#underWay;
  }
}
