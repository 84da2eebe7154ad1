import { planFleet } from '../../src/planner/plan.ts';
import type { FleetPlan, KnownJob, PlacedInstance } from '../../src/planner/plan.ts';

/** A night of a fleet that is simulated. */
export interface Night {
  readonly agents: number;
  readonly runs: number;
  /** When it begins. */
  readonly now: Date;
  readonly lengthMs: number;
}

export function nodesOf(agents: number): readonly string[] {
  return Array.from({ length: agents }, (_, index) => `n${index + 1}`);
}

/** All instances of a policy, on all nodes; the same places in a shorter night. */
export function planOf({ agents, runs, now, lengthMs }: Night, known: readonly KnownJob[]): FleetPlan {
  const begin = now.getHours() * 60 + now.getMinutes();
  const nodes = nodesOf(agents);
  const instances = Array.from({ length: runs }, (_, index): PlacedInstance => ({
    policy: 'nightly',
    instance: `web${index + 1}`,
    node: nodes[index % agents] ?? 'n1',
  }));
  const window = { from: begin, to: (begin + 12 * 60) % (24 * 60), atEnd: 'finish' as const };
  const plan = planFleet({ policies: [{ name: 'nightly', window }], instances, known, now });
  const first = plan.add[0]?.window.begin.getTime() ?? 0;
  const placeOf = (time: Date, end: Date): number => (time.getTime() - first) / (end.getTime() - first);
  const add = plan.add.map((job) => ({
    ...job,
    startAfter: new Date(now.getTime() + placeOf(job.startAfter, job.window.end) * lengthMs),
  }));
  return { ...plan, add };
}
