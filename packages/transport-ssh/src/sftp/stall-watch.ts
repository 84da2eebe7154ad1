import { performance } from 'node:perf_hooks';

/** How many checks there are per `stallMs`: a stall is noticed at most one interval late. */
const CHECKS_PER_STALL = 4;

/** `silence`: no byte passed. `skipped`: one request was not answered, while later ones were. */
export type Stall = 'silence' | 'skipped';

/** Detects that no byte passes while requests are outstanding, or that one is skipped. It needs no timer per request. */
export class StallWatch implements Disposable {
  readonly #stallMs: number;
  readonly #onStall: (stall: Stall) => void;
  #outstanding = 0;
  #lastProgress = 0;
  #skippedSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(stallMs: number, onStall: (stall: Stall) => void) {
    this.#stallMs = stallMs;
    this.#onStall = onStall;
  }

  /** One more request is outstanding. */
  begin(): void {
    if (this.#outstanding === 0) this.progress();
    this.#outstanding += 1;
    this.#timer ??= setInterval(() => this.#check(), this.#stallMs / CHECKS_PER_STALL).unref();
  }

  /** One request is no longer outstanding. */
  end(): void {
    this.#outstanding -= 1;
  }

  progress(): void {
    this.#lastProgress = performance.now();
  }

  /** The oldest request was answered: none is skipped any more. */
  oldestAnswered(): void {
    this.#skippedSince = undefined;
  }

  /** Another request than the oldest was answered. */
  laterAnswered(): void {
    this.#skippedSince ??= performance.now();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    const latest = performance.now() - this.#stallMs;
    if (this.#outstanding > 0 && this.#lastProgress < latest) this.#onStall('silence');
    else if (this.#skippedSince !== undefined && this.#skippedSince < latest) this.#onStall('skipped');
  }
}
