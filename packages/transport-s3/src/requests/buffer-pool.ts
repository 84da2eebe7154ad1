/** Buffers to be used again: the operating system's fresh pages cost more than all that is copied into them. */
export class BufferPool {
  readonly #maxIdleBytes: number;
  readonly #idle: Buffer<ArrayBuffer>[] = [];
  #idleBytes = 0;

  /** @param maxIdleBytes how much memory the pool keeps for later */
  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes;
  }

  /** A buffer of just so many bytes, with anything in it. */
  take(bytes: number): Buffer<ArrayBuffer> {
    const place = this.#idle.findLastIndex((buffer) => buffer.length === bytes);
    const [found] = place === -1 ? [] : this.#idle.splice(place, 1);
    if (found === undefined) return Buffer.allocUnsafeSlow(bytes);
    this.#idleBytes -= bytes;
    return found;
  }

  /** Takes a buffer back that nobody looks at any more. The sizes that were used longest ago are let go first. */
  give(buffer: Buffer<ArrayBuffer>): void {
    this.#idle.push(buffer);
    this.#idleBytes += buffer.length;
    while (this.#idleBytes > this.#maxIdleBytes) this.#idleBytes -= this.#idle.shift()?.length ?? Infinity;
  }
}
