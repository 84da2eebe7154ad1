import type { FleetStatus } from '../control/requests.ts';
import { isSegment, limitedText } from '../queue/names.ts';
import type { FleetJob } from '../queue/records.ts';

/** What an export waits for: `time`: its own in the window; `attempt`: its next one; `place`: a free one on its node. */
export type WaitKind = 'paused' | 'store' | 'time' | 'attempt' | 'place';

/** Exports that wait for one thing. */
export interface Waiting {
  readonly kind: WaitKind;
  /** In words. */
  readonly what: string;
  /** Those that may begin first come first. */
  readonly jobs: readonly FleetJob[];
}

/** What waits, and for what; the most first. */
export function waitingOf({ jobs, paused, limits }: FleetStatus, now: Date): readonly Waiting[] {
  const waiting = jobs.filter(({ state }) => state === 'waiting').toSorted(byStart);
  const held = new Map(limits.map(({ store, held: taken, atOnce }) => [store, `${taken} of ${atOnce}`]));
  const groups = Map.groupBy(waiting, (job) => JSON.stringify(waitOf(job, { paused, held }, now)));
  return [...groups.values()]
    .flatMap((own) => (own[0] === undefined ? [] : [{ ...waitOf(own[0], { paused, held }, now), jobs: own }]))
    .toSorted((a, b) => b.jobs.length - a.jobs.length);
}

interface Limits {
  readonly paused: readonly string[];
  /** How much of the limit of a store is held, in words. */
  readonly held: ReadonlyMap<string, string>;
}

function waitOf({ node, startAfter, output, attempts }: FleetJob, { paused, held }: Limits, now: Date): Omit<Waiting, 'jobs'> {
  if (paused.includes('*')) return { kind: 'paused', what: 'all nodes are paused' };
  if (paused.includes(node)) return { kind: 'paused', what: `${node} is paused` };
  const taken = output.waitsFor === undefined ? undefined : held.get(output.waitsFor);
  if (output.waitsFor !== undefined && taken !== undefined) {
    return {
      kind: 'store',
      what: `the limit of the ${isSegment(output.waitsFor) ? '' : 'store '}${limitedText(output.waitsFor)} (${taken} exports at once)`,
    };
  }
  const isEarly = startAfter !== undefined && startAfter > now;
  if (isEarly && attempts === 0) return { kind: 'time', what: 'their times in the window' };
  if (isEarly) return { kind: 'attempt', what: `their next attempts, after ${output.code ?? 'a lost lease'}` };
  return { kind: 'place', what: `a free place on ${node}` };
}

function byStart(a: FleetJob, b: FleetJob): number {
  return (a.startAfter?.getTime() ?? 0) - (b.startAfter?.getTime() ?? 0);
}
