import { appendFileSync } from 'node:fs';
import process from 'node:process';
import type { FaultPoint } from './faults.ts';

/*
 * Which faults are tried: by default, two of each of some operations, the same each time. GANTRY_FAULT_SHARE: one in that many, of every
 * operation with every medium (`scripts/faults.sh`: all). GANTRY_FAULT_SEED says which these are; GANTRY_FAULT_ONLY replays one, as a
 * failure names it.
 */

const { GANTRY_FAULT_SHARE, GANTRY_FAULT_SEED, GANTRY_FAULT_ONLY: ONLY, GANTRY_FAULT_COUNTS: COUNTS } = process.env;
const SHARE = GANTRY_FAULT_SHARE === undefined ? undefined : Number(GANTRY_FAULT_SHARE);
const SEED = Number(GANTRY_FAULT_SEED ?? (GANTRY_FAULT_SHARE === undefined ? 5 : Math.floor(Math.random() * 1_000_000)));
/** By default: one operation in this many is tried. */
const OPERATIONS_SHARE = 8;
const POINTS_OF_EACH = 2;

/** Whether every operation is tried with every medium, which takes long. */
export const ALL_FAULTS: boolean = SHARE !== undefined || ONLY !== undefined;

let groups = SEED;

/** Whether nothing of a group of faults is tried this time. */
export function isPassedOver(group: string): boolean {
  if (ONLY !== undefined) return !ONLY.startsWith(`${group}:`);
  groups += 1;
  return SHARE === undefined && groups % OPERATIONS_SHARE !== 0;
}

let passed = SEED;

/** Those of a group that are tried this time. */
export function choosePoints(group: string, points: readonly FaultPoint[]): readonly FaultPoint[] {
  if (ONLY !== undefined) return theOnly(group, points);
  const share = SHARE ?? Math.ceil(points.length / POINTS_OF_EACH);
  const from = passed;
  passed += points.length;
  return points.filter((_, index) => (from + index) % share === 0);
}

/** @throws where there is none: that must not look like one that is mended */
function theOnly(group: string, points: readonly FaultPoint[]): readonly FaultPoint[] {
  const found = points.filter((point) => `${group}:${pointText(point)}` === ONLY);
  if (found.length === 0) throw new RangeError(`${ONLY} is not one of the ${points.length} faults of ${group}`);
  return found;
}

/** `CALL:KIND`, and the byte where it has one. */
export function pointText({ call, kind, byte }: FaultPoint): string {
  return byte === undefined ? `${call}:${kind}` : `${call}:${kind}:${byte}`;
}

export interface FaultCount {
  /** How many happened. */
  readonly reached: number;
  /** The names of those that were tried, and did not happen. */
  readonly missed: readonly string[];
  /** How many there are. */
  readonly all: number;
}

/** Prints how many faults were tried, and appends it to the file of counts: what, reached, missed, all. Those missed count as not tried. */
export function reportCount(what: string, { reached, missed, all }: FaultCount): void {
  console.log(`${what}: ${reached} of ${all} faults tried (GANTRY_FAULT_SEED=${SEED})`);
  for (const name of missed) console.log(`not reached: ${name}`);
  if (COUNTS !== undefined) appendFileSync(COUNTS, `${what}\t${reached}\t${missed.length}\t${all}\n`);
}
