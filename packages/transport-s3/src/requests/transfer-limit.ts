import { untilAborted } from './abort.ts';

/** Lets so many transfers of so many bytes in all run at once. First come, first served. */
export class TransferLimit {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = [];
  #count = 0;
  #bytes = 0;

  constructor(limits: { readonly maxCount: number; readonly maxBytes: number }) {
    this.#maxCount = limits.maxCount;
    this.#maxBytes = limits.maxBytes;
  }

  /** Waits for room, and gives what must be called when the transfer is over. @throws the reason of a signal */
  async enter(bytes: number, ...signals: readonly (AbortSignal | undefined)[]): Promise<() => void> {
    if (this.#waiting.length === 0 && this.#hasRoom(bytes)) return this.force(bytes);
    const { promise, resolve } = Promise.withResolvers<() => void>();
    const entry = { bytes, enter: () => resolve(this.force(bytes)) };
    this.#waiting.push(entry);
    try {
      return await untilAborted(promise, ...signals);
    } catch (error) {
      const place = this.#waiting.indexOf(entry);
      if (place === -1) void promise.then((leave) => leave());
      else this.#waiting.splice(place, 1);
      this.#admit();
      throw error;
    }
  }

  /** As {@link enter}, but undefined where there is no room now. */
  tryEnter(bytes: number): (() => void) | undefined {
    return this.#waiting.length === 0 && this.#hasRoom(bytes) ? this.force(bytes) : undefined;
  }

  /** As {@link enter}, whether there is room or not: for the one transfer without which nothing would move. */
  force(bytes: number): () => void {
    this.#count += 1;
    this.#bytes += bytes;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#count -= 1;
      this.#bytes -= bytes;
      this.#admit();
    };
  }

  /** One transfer always fits, however large. */
  #hasRoom(bytes: number): boolean {
    return this.#count === 0 || (this.#count < this.#maxCount && this.#bytes + bytes <= this.#maxBytes);
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#hasRoom(first.bytes); first = this.#waiting[0]) {
      this.#waiting.shift();
      first.enter();
    }
  }
}
