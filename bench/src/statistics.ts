/** The middle value; the mean of the two in the middle where their number is even. @throws RangeError for none */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  if (low === undefined || high === undefined) throw new RangeError('there is no median of nothing');
  return (low + high) / 2;
}

/** How far the values lie apart, as a share of their median: what a reader should trust a difference by. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/** One measured run of a command and of everything that it started. */
export interface Sample {
  /** Seconds on the clock. */
  readonly wall: number;
  /** Seconds of processor time, user and system; undefined where it could not be measured. */
  readonly cpu: number | undefined;
  /** The most memory that all its processes had at once, without the page cache, in bytes; undefined where it could not be measured. */
  readonly peakBytes: number | undefined;
}

/** What the samples of one contestant come to. */
export interface Summary {
  readonly runs: number;
  readonly wall: number;
  readonly spread: number;
  readonly cpu: number | undefined;
  /** The worst of all runs. */
  readonly peakBytes: number | undefined;
}

export function summarize(samples: readonly Sample[]): Summary {
  const walls = samples.map(({ wall }) => wall);
  const cpus = samples.map(({ cpu }) => cpu).filter((cpu) => cpu !== undefined);
  const peaks = samples.map(({ peakBytes }) => peakBytes).filter((peak) => peak !== undefined);
  return {
    runs: samples.length,
    wall: median(walls),
    spread: spread(walls),
    cpu: cpus.length === 0 ? undefined : median(cpus),
    peakBytes: peaks.length === 0 ? undefined : Math.max(...peaks),
  };
}
