import { readFile } from 'node:fs/promises';
import { DATA_SETS } from './data-sets.ts';
import type { Contest } from './report.ts';

const ORDER: readonly string[] = [...Object.keys(DATA_SETS), 'memory', 'sealed-dense', 'sealed-mixed', 'ssh', 'ssh-halves', 's3'];

/** The contests of an earlier run, from its `results.json`. */
export async function readContests(path: string): Promise<readonly Contest[]> {
  const earlier: unknown = JSON.parse(await readFile(path, 'utf8'));
  const known = typeof earlier === 'object' && earlier !== null && 'contests' in earlier ? earlier.contests : undefined;
  if (!Array.isArray(known) || !known.every(isContest)) throw new Error(`${path} does not contain results of a benchmark`);
  return known;
}

/** Contests of this run replace the same ones of an earlier run. */
export function mergeContests(earlier: readonly Contest[], contests: readonly Contest[]): readonly Contest[] {
  const all = new Map([...earlier, ...contests].map((contest) => [contest.key, contest]));
  return [...all.values()].toSorted((a, b) => place(a) - place(b));
}

/** Those of the scaling group come last, by the number of disks and then by size. */
function place({ key }: Contest): number {
  if (ORDER.includes(key)) return ORDER.indexOf(key);
  return ORDER.length + (key.startsWith('size') ? 100 : 0) + Number(/[\d.]+$/.exec(key)?.[0]);
}

function isContest(value: unknown): value is Contest {
  if (typeof value !== 'object' || value === null) return false;
  return 'key' in value && typeof value.key === 'string' && 'bytes' in value && 'results' in value && Array.isArray(value.results);
}
