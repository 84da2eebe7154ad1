import { performance } from 'node:perf_hooks';

/** How much later than `stallMs` a stall may be noticed, as a share of it. */
const CHECKS_PER_STALL = 4;

/** Watches that something passes while something is awaited. Costs two additions a request, not a timer each. */
export class StallWatch implements Disposable {
  readonly #stallMs: number;
  readonly #onStall: () => void;
  #awaited = 0;
  #lastProgress = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(stallMs: number, onStall: () => void) {
    this.#stallMs = stallMs;
    this.#onStall = onStall;
  }

  /** One more thing is awaited. */
  begin(): void {
    if (this.#awaited === 0) this.progress();
    this.#awaited += 1;
    this.#timer ??= setInterval(() => this.#check(), this.#stallMs / CHECKS_PER_STALL).unref();
  }

  /** One thing is awaited no longer. */
  end(): void {
    this.#awaited -= 1;
  }

  progress(): void {
    this.#lastProgress = performance.now();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    if (this.#awaited > 0 && performance.now() - this.#lastProgress > this.#stallMs) this.#onStall();
  }
}
