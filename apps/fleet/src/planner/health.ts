import type { PlannerTurn } from '../queue/turns.ts';

/** A planner plans each minute, and asks the sources of thousands of instances for that. */
const MAX_PLAN_AGE_SECONDS = 600;

/** How the planning of a fleet is. */
export interface PlanHealth {
  /** How long ago the last plan was made, seconds; absent if there was none yet. */
  readonly ageSeconds?: number | undefined;
  /** What is wrong, a line each; empty if all is planned. */
  readonly problems: readonly string[];
}

/** Judges the last turns of all planners. What one of them could plan is planned: a problem is what all have that planned lately. */
export function planHealth(turns: readonly PlannerTurn[]): PlanHealth {
  const [newest] = turns.toSorted((a, b) => (a.plannedSecondsAgo ?? Infinity) - (b.plannedSecondsAgo ?? Infinity));
  const recent = turns.filter(({ plannedSecondsAgo = Infinity }) => plannedSecondsAgo <= MAX_PLAN_AGE_SECONDS);
  const [best, ...others] = recent.toSorted((a, b) => a.problems.length - b.problems.length);
  const ageSeconds = newest?.plannedSecondsAgo;
  if (best !== undefined) {
    const common = best.problems.filter(({ about }) => others.every((other) => mayHave(other, about)));
    return { ageSeconds, problems: common.map(({ message }) => `not planned: ${message}`) };
  }
  const failures = turns.flatMap(({ planner, failure }) => (failure === undefined ? [] : [`the planner on ${planner} fails: ${failure}`]));
  const age = ageSeconds === undefined ? 'no planner has made a plan yet' : `no planner has made a plan for ${minutesText(ageSeconds)}`;
  return { ageSeconds, problems: [age, ...failures] };
}

/** Whether a planner has a problem with something. One that has more of them than are noted may have any. */
function mayHave({ problems }: PlannerTurn, about: string): boolean {
  return problems.some((each) => each.about === about || each.about === '');
}

function minutesText(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes} minutes` : `${Math.floor(minutes / 60)} hours`;
}
