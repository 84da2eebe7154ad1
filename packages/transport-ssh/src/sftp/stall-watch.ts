import { performance } from 'node:perf_hooks';

/** How much later than `stallMs` a stall may be noticed, as a share of it. */
const CHECKS_PER_STALL = 4;

/** `silence`: no byte passed. `passed over`: one request was not answered, while later ones were. */
export type Stall = 'silence' | 'passed over';

/** Watches that something passes while something is awaited, and that nothing is passed over. Costs two additions a request, not a timer each. */
export class StallWatch implements Disposable {
  readonly #stallMs: number;
  readonly #onStall: (stall: Stall) => void;
  #awaited = 0;
  #lastProgress = 0;
  #passedOverSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(stallMs: number, onStall: (stall: Stall) => void) {
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

  /** What was awaited longest has come: nothing is passed over any more. */
  inTurn(): void {
    this.#passedOverSince = undefined;
  }

  /** Something has come before what was awaited longest. */
  passOver(): void {
    this.#passedOverSince ??= performance.now();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    const latest = performance.now() - this.#stallMs;
    if (this.#awaited > 0 && this.#lastProgress < latest) this.#onStall('silence');
    else if (this.#passedOverSince !== undefined && this.#passedOverSince < latest) this.#onStall('passed over');
  }
}
