import { Socket } from 'node:net';

/**
 * The reading end of a pipe. Nothing is read ahead but one buffer: what the other side writes beyond waits in the pipe, so that the
 * reader sets the pace. This is the only place that knows how a script's output gets into memory.
 */
export class PipeReader {
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
