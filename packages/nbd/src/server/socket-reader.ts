import type { Socket } from 'node:net';

/** What a client sends, in pieces of the size that is asked for. A client that has left looks like one that says nothing more. */
export class SocketReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #kept: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  /** @returns undefined where the client has left before */
  async read(bytes: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = bytes;
    while (missing > 0) {
      const part = await this.#next(missing);
      if (part === undefined) return undefined;
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts, bytes);
  }

  /** @returns false where the client has left before */
  async skip(bytes: number): Promise<boolean> {
    for (let missing = bytes; missing > 0;) {
      const part = await this.#next(missing);
      if (part === undefined) return false;
      missing -= part.length;
    }
    return true;
  }

  async #next(most: number): Promise<Buffer | undefined> {
    if (this.#kept.length === 0) {
      // A connection that breaks has no other meaning here than one that ends.
      const next = await this.#chunks.next().catch(() => undefined);
      if (next === undefined || next.done === true) return undefined;
      this.#kept = next.value;
    }
    const part = this.#kept.subarray(0, most);
    this.#kept = this.#kept.subarray(part.length);
    return part;
  }
}
