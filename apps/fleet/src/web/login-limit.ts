const MINUTE_MS = 60_000;
/** Of one address. */
const MAX_FAILURES = 5;
/** Of all together: who has many addresses guesses no faster than that. */
const MAX_FAILURES_OF_ALL = 50;
/** Wrong passwords cost time and memory too: no more of them wait to be looked at. */
const MAX_WAITING = 8;

/** Limits attempts to log in: each address has 5 wrong ones a minute, all together 50; one after the other is looked at. */
export class LoginLimit {
  readonly #failures = new Map<string, number>();
  readonly #now: () => number;
  #since: number;
  #waiting = 0;
  #work: Promise<unknown> = Promise.resolve();

  /** @param now a clock that nobody sets, ms */
  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  /**
   * Tries to log in, if another attempt is allowed.
   *
   * @param isRight looks at the password
   * @returns whether it is right; `limited` if it was not looked at
   */
  async attempt(address: string, isRight: () => Promise<boolean>): Promise<boolean | 'limited'> {
    if (this.#waiting >= MAX_WAITING || !this.#isAllowed(address)) return 'limited';
    this.#waiting += 1;
    const work = this.#work.then(async () => {
      // Others of the same address may have failed meanwhile.
      if (!this.#isAllowed(address)) return 'limited' as const;
      const found = await isRight();
      if (!found) this.#failures.set(address, (this.#failures.get(address) ?? 0) + 1);
      return found;
    });
    this.#work = work.catch(() => undefined);
    try {
      return await work;
    } finally {
      this.#waiting -= 1;
    }
  }

  #isAllowed(address: string): boolean {
    if (this.#now() - this.#since >= MINUTE_MS) {
      this.#failures.clear();
      this.#since = this.#now();
    }
    const all = [...this.#failures.values()].reduce((sum, count) => sum + count, 0);
    return all < MAX_FAILURES_OF_ALL && (this.#failures.get(address) ?? 0) < MAX_FAILURES;
  }
}
