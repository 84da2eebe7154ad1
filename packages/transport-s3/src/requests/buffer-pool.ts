/** Reuses buffers: getting fresh pages from the operating system costs more than copying the data. */
export class BufferPool {
  readonly #maxIdleBytes: number;
  readonly #idle: Buffer<ArrayBuffer>[] = [];
  #idleBytes = 0;

  /** @param maxIdleBytes how much memory the pool keeps for later */
  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes;
  }

  /** A buffer of exactly this size. Its content is arbitrary. */
  take(bytes: number): Buffer<ArrayBuffer> {
    const index = this.#idle.findLastIndex((buffer) => buffer.length === bytes);
    const [found] = index === -1 ? [] : this.#idle.splice(index, 1);
    if (found === undefined) return Buffer.allocUnsafeSlow(bytes);
    this.#idleBytes -= bytes;
    return found;
  }

  /** Takes back a buffer that is no longer in use. Drops the least recently used buffers first. */
  give(buffer: Buffer<ArrayBuffer>): void {
    this.#idle.push(buffer);
    this.#idleBytes += buffer.length;
    while (this.#idleBytes > this.#maxIdleBytes) this.#idleBytes -= this.#idle.shift()?.length ?? Infinity;
  }
}
