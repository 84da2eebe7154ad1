import type { DiskPart } from '../frames/changed-blocks.ts';
import { flushDisk } from './flush-disk.ts';
import type { OpenDisk } from './open-disk.ts';
import { openDisk } from './open-disk.ts';
import { writeBytes } from './write-device.ts';
import { Writeback } from './writeback.ts';
import { Zeroer } from './zeroer.ts';

/** A disk that is written several times in parts. From the first to the last time it stays open, and claimed if it can be. */
export class PatchedDisk implements AsyncDisposable {
  readonly #disk: OpenDisk;

  private constructor(disk: OpenDisk) {
    this.#disk = disk;
  }

  /** @throws as {@link openDisk} */
  static async open(path: string, { forceInUse }: { readonly forceInUse: boolean }): Promise<PatchedDisk> {
    return new PatchedDisk(await openDisk(path, forceInUse ? 'write shared' : 'write'));
  }

  /**
   * Writes parts, which are in order, and resolves when they are durable. Zeros become holes if the disk supports them.
   *
   * @throws the errors of `parts`; GantryError `DISK_IO`; the signal's reason
   */
  async write(parts: AsyncIterable<DiskPart>, signal: AbortSignal): Promise<void> {
    const zeroer = new Zeroer(this.#disk, signal);
    await using writeback = new Writeback(this.#disk);
    for await (const part of parts) {
      signal.throwIfAborted();
      const end = part.at + ('data' in part ? part.data.length : part.zeros);
      if ('data' in part) await writeBytes(this.#disk, zeroer, part.data, part.at);
      else await zeroer.zero(part.at, end);
      await writeback.reached(end);
    }
    await flushDisk(this.#disk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disk[Symbol.asyncDispose]();
  }
}
