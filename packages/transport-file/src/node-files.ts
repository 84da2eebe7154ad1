import { Buffer } from 'node:buffer';
import type { FileHandle } from 'node:fs/promises';
import type { FileInfo, ReadableFile, WritableFile } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import { closeOnFailure } from '@gantry/transport';
import { fileInfoOf } from './file-info.ts';
import { copyFileRange } from './copy-file-range.ts';
import { calling } from './system-error.ts';

const READ_BYTES = 1024 * 1024;

/** For larger calls, Linux allocates memory in larger pieces, which took up to five times as long to fill. */
const MAX_WRITE_BYTES = 256 * 1024;

/** What the kernel copies at once: a fraction of a second, after which a copy can be cancelled. */
const MAX_COPY_BYTES = 32 * 1024 * 1024;

/** A file that is open for reading. All chunks use the same memory. */
export class NodeReadableFile implements ReadableFile {
  readonly found: FileInfo;
  readonly #file: FileHandle;
  #copying: Promise<unknown> | undefined;
  #open = true;

  private constructor(file: FileHandle, found: FileInfo) {
    this.#file = file;
    this.found = found;
  }

  /** @throws FileSystemError `other-kind` if it is not a regular file; it is closed then */
  static async of(file: FileHandle): Promise<NodeReadableFile> {
    const close = (): Promise<void> => file.close();
    return closeOnFailure(close, async () => {
      const found = fileInfoOf(await calling(file.stat()));
      if (found.kind === 'file') return new NodeReadableFile(file, found);
      throw new FileSystemError('other-kind', { code: 'not-found', message: 'it is not a regular file' });
    });
  }

  async *read(offset: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end - offset));
    for (let at = offset; at < end;) {
      const { bytesRead } = await calling(this.#file.read(buffer, 0, Math.min(buffer.length, end - at), at));
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Has the kernel append a part of this file to another one: see `WritableFile.copy`. */
  async copyTo(target: FileHandle, offset: number, maxBytes: number): Promise<number | undefined> {
    const copying = copyFileRange({ from: this.#file.fd, offset, to: target.fd, bytes: Math.min(maxBytes, MAX_COPY_BYTES) });
    this.#copying = copying;
    return copying;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    // Its descriptor may still be in use on another thread.
    await this.#copying?.catch(() => undefined);
    await this.#file.close();
  }
}

/** A new file. Bytes are written directly from the caller's memory. */
export class NodeWritableFile implements WritableFile {
  readonly #file: FileHandle;
  #arrivedBytes = 0;
  #copying: Promise<unknown> | undefined;
  #open = true;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  get arrivedBytes(): number {
    return this.#arrivedBytes;
  }

  async write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      const { bytesWritten } = await calling(this.#file.write(chunk, at, Math.min(chunk.length - at, MAX_WRITE_BYTES)));
      at += bytesWritten;
      this.#arrivedBytes += bytesWritten;
    }
  }

  async copy(from: ReadableFile, offset: number, maxBytes: number): Promise<number | undefined> {
    if (!(from instanceof NodeReadableFile)) return undefined;
    const copying = calling(from.copyTo(this.#file, offset, maxBytes));
    this.#copying = copying;
    const bytes = await copying;
    this.#arrivedBytes += bytes ?? 0;
    return bytes;
  }

  async flush(): Promise<void> {
    // Written bytes have arrived.
  }

  async sync(): Promise<void> {
    await calling(this.#file.datasync());
  }

  async finish(): Promise<FileInfo> {
    const now = new Date();
    await calling(this.#file.utimes(now, now));
    await calling(this.#file.sync());
    return fileInfoOf(await calling(this.#file.stat()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#copying?.catch(() => undefined);
    await this.#file.close();
  }
}
