import { readSync } from 'node:fs';
import { Socket } from 'node:net';

import { unreadBytes } from './pipes.ts';

/**
 * The reading end of a pipe. Nothing is read ahead but one buffer: what the other side writes beyond waits in the pipe, so that the
 * reader sets the pace. This is the only place that knows how a script's output gets into memory.
 */
export class PipeReader {
  readonly #fd: number;
  readonly #socket: Socket;
  #chunk: Uint8Array | undefined;
  #ended = false;
  #failure: { readonly error: Error } | undefined;
  #waiting: PromiseWithResolvers<Uint8Array | undefined> | undefined;

  /**
   * @param fd is owned, and closed at the end of the stream or by {@link destroy}
   * @param bytes the size of the buffer: the most that one {@link read} gives
   */
  constructor(fd: number, bytes: number) {
    const buffer = Buffer.allocUnsafeSlow(bytes);
    this.#fd = fd;
    this.#socket = new Socket({
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer,
        callback: (length) => {
          this.#chunk = buffer.subarray(0, length);
          this.#answer();
          // Reads no more into the one buffer until it is asked for.
          return false;
        },
      },
    });
    this.#socket.on('end', () => this.#finish());
    this.#socket.on('close', () => this.#finish());
    this.#socket.on('error', (error) => this.#finish(error));
  }

  /**
   * The next bytes, or undefined at the end. They are overwritten by the next call. One call at a time.
   * @throws what reading failed with
   */
  async read(): Promise<Uint8Array | undefined> {
    this.#waiting = Promise.withResolvers<Uint8Array | undefined>();
    const { promise } = this.#waiting;
    if (this.#chunk === undefined && !this.#ended) this.#socket.resume();
    else this.#answer();
    return promise;
  }

  /**
   * As {@link read}, into memory of the caller: of what is in the pipe, only the first bytes go through the buffer.
   * @returns how many bytes, at least 1; undefined at the end
   */
  async readInto(output: Uint8Array): Promise<number | undefined> {
    const first = await this.read();
    if (first === undefined) return undefined;
    const bytes = Math.min(first.length, output.length);
    output.set(first.subarray(0, bytes));
    // Kept for the next call, which `read` answers with it.
    if (bytes < first.length) this.#chunk = first.subarray(bytes);
    return bytes < first.length || this.#ended ? bytes : bytes + this.#readRest(output.subarray(bytes));
  }

  /** What is in the pipe already, as much as fits. */
  #readRest(output: Uint8Array): number {
    const bytes = Math.min(unreadBytes(this.#fd), output.length);
    return bytes === 0 ? 0 : readSync(this.#fd, output, 0, bytes, null);
  }

  /** Closes the descriptor; a read under way gives undefined. */
  destroy(): void {
    this.#socket.destroy();
    this.#chunk = undefined;
    this.#finish();
  }

  #finish(error?: Error): void {
    if (error !== undefined) this.#failure ??= { error };
    this.#ended = true;
    this.#answer();
  }

  #answer(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    const chunk = this.#chunk;
    this.#chunk = undefined;
    if (chunk === undefined && this.#failure !== undefined) waiting.reject(this.#failure.error);
    else waiting.resolve(chunk);
  }
}
