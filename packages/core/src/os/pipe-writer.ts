import { Socket } from 'node:net';

import { unreadBytes } from './pipes.ts';

/** The writing end of a pipe. */
export class PipeWriter {
  readonly #fd: number;
  readonly #socket: Socket;

  /** @param fd is owned, and closed by {@link close} */
  constructor(fd: number) {
    this.#fd = fd;
    this.#socket = new Socket({ fd, readable: false, writable: true });
    // Every failure is told to the write that met it.
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
    return this.#socket.destroyed ? 0 : unreadBytes(this.#fd);
  }

  /** Closes the descriptor at once: the end of the file for the other side. A write under way rejects. */
  close(): void {
    this.#socket.destroy();
  }
}
