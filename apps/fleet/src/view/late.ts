import type { Subject } from '../planner/job.ts';
import { subjectKey } from '../planner/job.ts';
import type { LastGood } from '../queue/records.ts';
import type { Selected } from '../queue/selected.ts';

/** An instance whose last good export is older than its policy promises. */
export interface Late extends Subject {
  /** When it ended; absent if the fleet knows of none. */
  readonly lastGood?: Date | undefined;
  readonly reference?: string | undefined;
  readonly maxAgeMs: number;
}

/**
 * The instances that are late against their policies, the longest first. One that is new to its policy has the time that this gives.
 *
 * @param selected what policies select: what none does any more is not late
 * @param maxAges of policies that have one, ms
 */
export function lateOf(
  selected: readonly Selected[],
  good: readonly LastGood[],
  maxAges: ReadonlyMap<string, number>,
  now: Date,
): readonly Late[] {
  const known = new Map(good.map((each) => [subjectKey(each), each]));
  const late = selected.flatMap(({ policy, instance, since }): readonly Late[] => {
    const maxAgeMs = maxAges.get(policy);
    const { endedOn, reference } = known.get(subjectKey({ policy, instance })) ?? {};
    if (maxAgeMs === undefined || now.getTime() - countsFrom({ since }, endedOn).getTime() <= maxAgeMs) return [];
    return [{ policy, instance, lastGood: endedOn, reference, maxAgeMs }];
  });
  return late.toSorted((a, b) => (a.lastGood?.getTime() ?? 0) - (b.lastGood?.getTime() ?? 0));
}

/** When the time begins that a policy gives an instance: when its last good export ended, or when it was selected, if the fleet knows of none. */
export function countsFrom({ since }: Pick<Selected, 'since'>, lastGood: Date | undefined): Date {
  return lastGood ?? since;
}
