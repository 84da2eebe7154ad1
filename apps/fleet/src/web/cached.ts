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
