const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const TIB = 1024 * GIB;

/** The limits of a service, and how to cut one upload into parts. All sizes in bytes. */
export interface PartPlanOptions {
  /** The first parts have this size; only the last part can be smaller. */
  readonly firstPartBytes: number;
  /** The largest part that the service accepts. */
  readonly maxPartBytes: number;
  /** How many parts one upload may have. */
  readonly maxParts: number;
  /** The largest object that must be possible. */
  readonly maxObjectBytes: number;
  /** All parts but the last have this size, for services that require it. The largest object follows from it. */
  readonly equalPartBytes?: number | undefined;
  /** About how many bytes to expect, if known. */
  readonly expectedBytes?: number | undefined;
}

/** How one upload is cut into parts. */
export interface PartPlan {
  /** The size of a part in bytes; parts count from 1. Never shrinks from one part to the next. */
  partBytes(partNumber: number): number;
  readonly maxParts: number;
  /** The largest object that the plan allows. */
  readonly maxObjectBytes: number;
}

/**
 * What Amazon S3 allows ("Amazon S3 multipart upload limits" in its user guide), with 5 TiB for the largest object, which
 * most other services have too.
 */
export const S3_LIMITS: {
  readonly minPartBytes: number;
  readonly maxPartBytes: number;
  readonly maxParts: number;
  readonly maxObjectBytes: number;
} = { minPartBytes: 5 * MIB, maxPartBytes: 5 * GIB, maxParts: 10_000, maxObjectBytes: 5 * TIB };

/** How many of the parts an expected size may use: the rest is for a stream that is longer than expected. */
const SHARE_FOR_EXPECTED = 0.6;
/** How much longer than expected a stream can be before the parts start to grow. */
const MARGIN_FOR_EXPECTED = 1.1;
/** Parts that start small cannot reach the size that equal parts of the largest size would. */
const SHARE_REACHED_BY_GROWTH = 0.7;

/**
 * Cuts a stream of unknown length: parts keep their first size up to the expected length of the stream (if there is one),
 * and then grow with the square of their number, just steeply enough that the last part reaches
 * the largest object. So a stream of gigabytes has small parts, sent in parallel from little memory, and one of
 * terabytes does not run out of parts.
 *
 * @throws RangeError if no plan can meet the options
 */
export function planParts(options: PartPlanOptions): PartPlan {
  const { firstPartBytes, maxPartBytes, maxParts, maxObjectBytes, equalPartBytes } = options;
  if (!(firstPartBytes >= 1 && firstPartBytes <= maxPartBytes && maxParts >= 1))
    throw new RangeError('cannot plan the parts of an upload: the limits contradict each other');
  if (equalPartBytes !== undefined) {
    return { partBytes: () => equalPartBytes, maxParts, maxObjectBytes: Math.min(maxObjectBytes, equalPartBytes * maxParts) };
  }
  const expected = Math.max(0, options.expectedBytes ?? 0) * MARGIN_FOR_EXPECTED;
  const steadyBytes = Math.min(maxPartBytes, Math.max(firstPartBytes, step(expected / (maxParts * SHARE_FOR_EXPECTED), Math.ceil)));
  const steadyParts = Math.min(maxParts, Math.floor(expected / steadyBytes));
  const curve = { steadyBytes, steadyParts, maxPartBytes, maxParts };
  const steepness = findSteepness(curve, maxObjectBytes);
  return {
    partBytes: (partNumber) => sizeAt(curve, steepness, partNumber),
    maxParts,
    maxObjectBytes: Math.min(maxObjectBytes, totalBytes(curve, steepness)),
  };
}

interface Curve {
  readonly steadyBytes: number;
  readonly steadyParts: number;
  readonly maxPartBytes: number;
  readonly maxParts: number;
}

function sizeAt(curve: Curve, steepness: number, partNumber: number): number {
  return sizeFor(curve, wantedAt(curve, steepness, partNumber));
}

function wantedAt(curve: Curve, steepness: number, partNumber: number): number {
  const grown = Math.max(0, partNumber - curve.steadyParts - 1);
  return curve.steadyBytes + steepness * grown * grown;
}

function sizeFor(curve: Curve, wanted: number): number {
  return Math.min(curve.maxPartBytes, Math.max(curve.steadyBytes, step(wanted, Math.floor)));
}

/** The size of all parts together. Many have the same size, which is computed once: this runs about forty times per store. */
function totalBytes(curve: Curve, steepness: number): number {
  let total = 0;
  let size = 0;
  let sameBelow = 0;
  for (let part = 1; part <= curve.maxParts; part++) {
    const wanted = wantedAt(curve, steepness, part);
    if (wanted >= sameBelow) {
      size = sizeFor(curve, wanted);
      if (size === curve.maxPartBytes) return total + (curve.maxParts - part + 1) * size;
      sameBelow = wanted <= MIB ? 0 : step(wanted, Math.floor) + stepWidth(wanted);
    }
    total += size;
  }
  return total;
}

/** The flattest growth that reaches `goal` with all parts, by halving. */
function findSteepness(curve: Curve, goal: number): number {
  const reachable =
    curve.steadyParts * curve.steadyBytes + (curve.maxParts - curve.steadyParts) * curve.maxPartBytes * SHARE_REACHED_BY_GROWTH;
  const target = Math.min(goal, reachable);
  let low = 0;
  let high = curve.maxPartBytes;
  // Forty halvings leave less than a hundredth of a byte between the two: too little to change a rounded part size.
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (totalBytes(curve, middle) >= target) high = middle;
    else low = middle;
  }
  return high;
}

/** Rounds to one of eight sizes per power of two, so that buffers of the same size can be reused. */
function step(bytes: number, round: (value: number) => number): number {
  if (bytes <= MIB) return Math.ceil(bytes);
  const width = stepWidth(bytes);
  return round(bytes / width) * width;
}

function stepWidth(bytes: number): number {
  return 2 ** Math.floor(Math.log2(bytes)) / 8;
}
