import type { CallOptions } from '@gantry/transport';

interface Entry<T> {
  readonly result: Promise<T>;
  /** Of the call that started it, until it has a result: nothing of an operation is held for longer. */
  signal: AbortSignal | undefined;
  /** Once it has a result. */
  done?: { readonly value: T };
  size: number;
}

/** Results that several calls need, each made once. The latest are kept; a failure is not. */
export class SharedResults<T> {
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry<T>>();
  readonly #max: number;
  readonly #sizeOf: (value: T) => number;
  #size = 0;

  /** @param max of the sizes of all that are kept; the latest one is, also where it is larger */
  constructor(max: number, sizeOf: (value: T) => number = () => 1) {
    this.#max = max;
    this.#sizeOf = sizeOf;
  }

  /**
   * The result with that name, which `make` makes where there is none yet. If another call started to make it, and was aborted, it is made
   * anew: that is not a failure of this call.
   *
   * @throws what `make` throws, for all that wait for it; the reason of the signal
   */
  async get(name: string, make: () => Promise<T>, { signal }: CallOptions): Promise<T> {
    for (;;) {
      const found = this.#entries.get(name);
      const entry = found ?? this.#start(name, make(), signal);
      this.use(name);
      try {
        return await entry.result;
      } catch (error) {
        if (this.#entries.get(name) === entry) this.#delete(name, entry);
        if (found === undefined) throw error;
        signal?.throwIfAborted();
        if (entry.signal?.aborted !== true) throw error;
      }
    }
  }

  /** Those that are there now, with their names. */
  made(): readonly (readonly [name: string, value: T])[] {
    return [...this.#entries].flatMap(([name, { done }]) => (done === undefined ? [] : [[name, done.value] as const]));
  }

  /** Keeps that result for longer than those that are not used. */
  use(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#entries.set(name, entry);
  }

  #start(name: string, result: Promise<T>, signal: AbortSignal | undefined): Entry<T> {
    const entry: Entry<T> = { result, signal, size: 1 };
    this.#entries.set(name, entry);
    this.#size += entry.size;
    this.#limit();
    const settle = (value: T): void => {
      entry.done = { value };
      entry.signal = undefined;
      if (this.#entries.get(name) !== entry) return;
      this.#size -= entry.size;
      entry.size = this.#sizeOf(value);
      this.#size += entry.size;
      this.#limit();
    };
    result.then(settle, () => undefined);
    return entry;
  }

  #limit(): void {
    for (const [name, entry] of this.#entries) {
      if (this.#size <= this.#max || this.#entries.size === 1) return;
      this.#delete(name, entry);
    }
  }

  #delete(name: string, entry: Entry<T>): void {
    this.#entries.delete(name);
    this.#size -= entry.size;
  }
}
