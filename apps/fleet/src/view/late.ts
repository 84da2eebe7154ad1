import type { Subject } from '../planner/job.ts';
import { isExport, subjectKey } from '../planner/job.ts';
import type { FleetJob, LastGood } from '../queue/records.ts';

/** An instance whose last good export is older than its policy promises. */
export interface Late extends Subject {
  /** When it ended; absent if the fleet knows of none. */
  readonly lastGood?: Date | undefined;
  readonly reference?: string | undefined;
  readonly maxAgeMs: number;
}

/**
 * The instances that are late against their policies, the longest first.
 *
 * @param jobs those of the last days: they say which instances there are
 * @param maxAges of policies that have one, ms
 */
export function lateOf(
  jobs: readonly FleetJob[],
  good: readonly LastGood[],
  maxAges: ReadonlyMap<string, number>,
  now: Date,
): readonly Late[] {
  const known = new Map(good.map((each) => [subjectKey(each), each]));
  const subjects = new Map(jobs.filter(isExport).map(({ policy, instance }) => [subjectKey({ policy, instance }), { policy, instance }]));
  const late = [...subjects].flatMap(([key, subject]): readonly Late[] => {
    const maxAgeMs = maxAges.get(subject.policy);
    const { endedOn, reference } = known.get(key) ?? {};
    if (maxAgeMs === undefined || (endedOn !== undefined && now.getTime() - endedOn.getTime() <= maxAgeMs)) return [];
    return [{ ...subject, lastGood: endedOn, reference, maxAgeMs }];
  });
  return late.toSorted((a, b) => (a.lastGood?.getTime() ?? 0) - (b.lastGood?.getTime() ?? 0));
}
