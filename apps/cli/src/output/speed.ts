/** The window for the rate that is shown, ms. */
const SHOWN_WINDOW_MS = 10_000;

/** The window for the rate that gives the time left, ms: longer, because that must not jump. */
const LEFT_WINDOW_MS = 40_000;

/** After how long without a byte a transfer counts as stalled, ms. */
const STILL_AFTER_MS = 3000;

/** By what fraction of the time left a new estimate must differ to be used: smaller changes only make the time jump. */
const TOLERANCE = 0.2;

interface Sample {
  readonly at: number;
  readonly bytes: number;
}

/** The rate at which a number of bytes grows. All times are from the same clock, ms. */
export class Speed {
  #samples: Sample[];
  #changedAt: number;
  /** The last estimate of the end. */
  #end: number | undefined;

  constructor(at: number, bytes = 0) {
    this.#samples = [{ at, bytes }];
    this.#changedAt = at;
  }

  reach(bytes: number, at: number): void {
    if (bytes === this.#samples.at(-1)?.bytes) return;
    this.#changedAt = at;
    this.#samples.push({ at, bytes });
    this.#forget(at);
  }

  /** Bytes per second over the last seconds up to now, so that the rate falls when no bytes come. */
  rate(at: number): number {
    return this.#rateOver(SHOWN_WINDOW_MS, at);
  }

  #rateOver(windowMs: number, at: number): number {
    this.#forget(at);
    const oldest = this.#samples.findLast((sample) => at - sample.at >= windowMs) ?? this.#samples[0];
    const newest = this.#samples.at(-1);
    if (oldest === undefined || newest === undefined || at <= oldest.at) return 0;
    return ((newest.bytes - oldest.bytes) / (at - oldest.at)) * 1000;
  }

  /** For how long no byte has come, if that is longer than usual; ms. */
  stillFor(at: number): number | undefined {
    const still = at - this.#changedAt;
    return still >= STILL_AFTER_MS ? still : undefined;
  }

  /** How long the rest will take, ms: counts down evenly while the estimate stays about the same. Undefined if there is no estimate. */
  left(bytesLeft: number, at: number): number | undefined {
    const rate = this.#rateOver(LEFT_WINDOW_MS, at);
    if (rate <= 0 || bytesLeft <= 0 || this.stillFor(at) !== undefined) {
      this.#end = undefined;
      return undefined;
    }
    const left = (bytesLeft / rate) * 1000;
    const estimate = at + left;
    if (this.#end === undefined || Math.abs(estimate - this.#end) > TOLERANCE * left + 1000) this.#end = estimate;
    return Math.max(0, this.#end - at);
  }

  /** Keeps one sample from before the longest window, as the start of its rate. */
  #forget(at: number): void {
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) > LEFT_WINDOW_MS) this.#samples.shift();
  }
}
