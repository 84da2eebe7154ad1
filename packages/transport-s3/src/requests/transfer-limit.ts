import { untilAborted } from './abort.ts';

/** Limits how many transfers run in parallel, and how many bytes they have in total. First come, first served. */
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

  /** Waits until the transfer may start. @returns what to call when it is over. @throws the reason of a signal */
  async enter(bytes: number, ...signals: readonly (AbortSignal | undefined)[]): Promise<() => void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) return this.force(bytes);
    const { promise, resolve } = Promise.withResolvers<() => void>();
    const entry = { bytes, enter: () => resolve(this.force(bytes)) };
    this.#waiting.push(entry);
    try {
      return await untilAborted(promise, ...signals);
    } catch (error) {
      const index = this.#waiting.indexOf(entry);
      if (index === -1) void promise.then((leave) => leave());
      else this.#waiting.splice(index, 1);
      this.#admit();
      throw error;
    }
  }

  /** Like {@link enter}, but undefined if the transfer would have to wait. */
  tryEnter(bytes: number): (() => void) | undefined {
    return this.#waiting.length === 0 && this.#fits(bytes) ? this.force(bytes) : undefined;
  }

  /** Like {@link enter}, but exceeds the limit if necessary: for the one transfer without which a reader would hang. */
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
  #fits(bytes: number): boolean {
    return this.#count === 0 || (this.#count < this.#maxCount && this.#bytes + bytes <= this.#maxBytes);
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#fits(first.bytes); first = this.#waiting[0]) {
      this.#waiting.shift();
      first.enter();
    }
  }
}
