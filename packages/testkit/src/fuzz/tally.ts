import type { JobOutcome } from './worker-protocol.ts';

/** Of one target: as many as inputs are made of. */
const MAX_FOUND = 5000;

/** What came of all jobs so far. */
export class Tally {
  #inputs = 0;
  readonly #found = new Map<string, readonly Uint8Array[]>();
  readonly #failed = new Set<string>();

  /** Each input counts once: the seeds, the corpus, and what was found before are run again in each job of a target. */
  add({ name, inputs, known, kept, failures }: JobOutcome): void {
    this.#inputs += this.#found.has(name) ? inputs - known : inputs;
    this.#found.set(name, [...this.found(name), ...kept].slice(-MAX_FOUND));
    if (failures.length > 0) this.#failed.add(name);
  }

  get inputs(): number {
    return this.#inputs;
  }

  /** How many targets had a job. */
  get targets(): number {
    return this.#found.size;
  }

  /** How many targets failed. */
  get failed(): number {
    return this.#failed.size;
  }

  /** What reached something new in the jobs of a target, the latest last. */
  found(name: string): readonly Uint8Array[] {
    return this.#found.get(name) ?? [];
  }
}

/**
 * A job for each target, over and over, until there are that many inputs in all, or something fails.
 *
 * @param jobOf makes a job that goes on with what was found
 */
export function* rounds<T>(
  names: readonly string[],
  { total, tally }: { readonly total: number; readonly tally: Tally },
  jobOf: (name: string, job: { readonly round: number; readonly inputs: number; readonly found: readonly Uint8Array[] }) => T,
): Generator<T, void, undefined> {
  for (let round = 0; ; round += 1) {
    for (const name of names) {
      const left = total - tally.inputs;
      if (round > 0 && (left <= 0 || tally.failed > 0)) return;
      yield jobOf(name, { round, inputs: Math.max(1, left), found: tally.found(name) });
    }
  }
}
