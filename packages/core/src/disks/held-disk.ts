import { open, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { diskCallError } from './disk-errors.ts';
import { flushDisk } from './flush-disk.ts';
import type { OpenDisk } from './open-disk.ts';
import { isSameDisk, openDisk } from './open-disk.ts';

/**
 * A disk that others, such as a script, will write. Meanwhile it is held open (for reading), for two reasons: the kernel reports a
 * failed write only to those who had the disk open when it failed, or to the first who asks; and a file that replaces one that is open
 * is certain to have another inode.
 */
export class HeldDisk implements AsyncDisposable {
  readonly #before: OpenDisk;

  private constructor(before: OpenDisk) {
    this.#before = before;
  }

  /** To be called before anything is written. @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_IO` */
  static async open(path: string): Promise<HeldDisk> {
    return new HeldDisk(await openDisk(path, 'read'));
  }

  /**
   * Makes everything durable that was written since {@link open} to the disk that is there now. If another file has replaced the first
   * one, its name is made durable too.
   *
   * @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_IO`
   */
  async flush(): Promise<void> {
    const { path } = this.#before;
    await using now = await openDisk(path, 'read');
    if (await isStillThere(this.#before, now)) {
      await flushDisk(this.#before);
      return;
    }
    await flushDisk(now);
    if (now.kind === 'file') await flushName(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#before[Symbol.asyncDispose]();
  }
}

async function isStillThere(before: OpenDisk, now: OpenDisk): Promise<boolean> {
  const [a, b] = await Promise.all([before.file.stat({ bigint: true }), now.file.stat({ bigint: true })]);
  return isSameDisk(a, b);
}

/** The directory of a file, and that of a symbolic link to it. */
async function flushName(path: string): Promise<void> {
  for (const directory of new Set([dirname(path), dirname(await realpath(path))])) {
    try {
      await using handle = await open(directory, 'r');
      await handle.sync();
    } catch (error) {
      throw diskCallError(directory, 'flush', error);
    }
  }
}
