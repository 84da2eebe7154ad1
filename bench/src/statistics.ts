/** The middle value; for an even number of values the mean of the two in the middle. @throws RangeError without values */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]];
  if (low === undefined || high === undefined) throw new RangeError('cannot compute a median: there are no values');
  return (low + high) / 2;
}

/** The range of the values as a share of their median: smaller differences mean nothing. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/** One measured run of a command and of everything that it started. */
export interface Sample {
  /** Seconds on the clock. */
  readonly wall: number;
  /** Seconds of processor time, user and system; undefined if it could not be measured. */
  readonly cpu: number | undefined;
  /** The peak memory of all its processes together, without the page cache, in bytes; undefined if it could not be measured. */
  readonly peakBytes: number | undefined;
}

/** The summary of the samples of one contestant. */
export interface Summary {
  readonly runs: number;
  readonly wall: number;
  readonly spread: number;
  readonly cpu: number | undefined;
  /** The maximum of all runs. */
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

/** Seconds of processor time that one run took more than another of the same round. */
export interface Added {
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
}

/** What the samples cost above others of the same rounds: other load of the machine is in both. Undefined without pairs. */
export function added(samples: readonly Sample[], others: readonly Sample[]): Added | undefined {
  const differences = samples.flatMap(({ cpu }, round) => {
    const other = others[round]?.cpu;
    return cpu === undefined || other === undefined ? [] : [cpu - other];
  });
  if (differences.length === 0) return undefined;
  return { median: median(differences), lowest: Math.min(...differences), highest: Math.max(...differences) };
}
