import { Socket } from 'node:net';

import { closeEnds, unreadBytes } from './pipes.ts';

/** The writing end of a pipe. */
export class PipeWriter {
  readonly #probe: number;
  readonly #socket: Socket;
  #closed = false;

  /**
   * Both descriptors are owned, and closed by {@link close}.
   * @param probe a duplicate of `fd`: a failed write closes the first, and what was left unread would not be known any more
   */
  constructor(fd: number, probe: number) {
    this.#probe = probe;
    this.#socket = new Socket({ fd, readable: false, writable: true });
    // The write that fails reports the error.
    this.#socket.on('error', () => undefined);
  }

  /**
   * Resolves when all the bytes are in the pipe: until then they are in use.
   * @throws Error with the code `EPIPE` when nobody reads any more
   */
  async write(bytes: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.write(bytes, (error) => (error instanceof Error ? reject(error) : resolve()));
    return promise;
  }

  /** Bytes in the pipe that the other side has not taken out yet; 0 when it is closed. */
  unreadBytes(): number {
    return this.#closed ? 0 : unreadBytes(this.#probe);
  }

  /** Closes the pipe at once: the end of the file for the other side. A write under way rejects. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeEnds(this.#probe);
    this.#socket.destroy();
  }
}
