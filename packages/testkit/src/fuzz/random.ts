/** Pseudo-random numbers: the same for the same seed. Fast, and good enough to choose what a test does (mulberry32). */
export class Random {
  #state: number;

  /** @param seed a whole number from 0 to 2^32 - 1 */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 to 1, and never 1. */
  roll(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 to `limit` - 1; 0 if the limit is 0. */
  below(limit: number): number {
    return Math.floor(this.roll() * limit);
  }

  /** True in one of `of` cases. */
  oneIn(of: number): boolean {
    return this.below(of) === 0;
  }

  /** One of the items. @throws RangeError if there are none */
  pick<T>(items: readonly T[]): T {
    const item = items.at(this.below(items.length));
    if (item === undefined) throw new RangeError('nothing to choose from');
    return item;
  }
}
