/** An answer that is asked for once, however many want it at the same time, and then kept for a while. */
export class Cached<T> {
  readonly #ask: () => Promise<T>;
  readonly #keepMs: number;
  readonly #now: () => number;
  #answer: Promise<T> | undefined;
  #until = -Infinity;

  /** @param keepMs at least; what took long to find out is kept for ten times as long */
  constructor(ask: () => Promise<T>, keepMs: number, now: () => number) {
    this.#ask = ask;
    this.#keepMs = keepMs;
    this.#now = now;
  }

  async get(): Promise<T> {
    if (this.#answer !== undefined && this.#now() < this.#until) return await this.#answer;
    const asked = this.#now();
    this.#until = Infinity;
    this.#answer = this.#ask();
    try {
      const answer = await this.#answer;
      const ended = this.#now();
      this.#until = ended + Math.max(this.#keepMs, (ended - asked) * 10);
      return answer;
    } catch (error) {
      this.#answer = undefined;
      throw error;
    }
  }
}

/** More instances than a team looks at within two seconds. */
const MAX_ANSWERS = 100;

/** Answers about names, each as {@link Cached} keeps it; of too many, that which nobody wanted for longest is forgotten. */
export class CachedByName<T> {
  readonly #ask: (name: string) => Promise<T>;
  readonly #keepMs: number;
  readonly #now: () => number;
  readonly #answers = new Map<string, Cached<T>>();

  /** @param keepMs as that of {@link Cached} */
  constructor(ask: (name: string) => Promise<T>, keepMs: number, now: () => number) {
    this.#ask = ask;
    this.#keepMs = keepMs;
    this.#now = now;
  }

  async get(name: string): Promise<T> {
    const answer = this.#answers.get(name) ?? new Cached(() => this.#ask(name), this.#keepMs, this.#now);
    this.#answers.delete(name);
    this.#answers.set(name, answer);
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > MAX_ANSWERS && oldest !== undefined) this.#answers.delete(oldest);
    return await answer.get();
  }
}
