import { subjectKey } from '../planner/job.ts';
import type { FleetJob } from '../queue/records.ts';

/** Of each subject, also of work at stores, the newest; one that runs counts before one that waits. @param jobs oldest first */
export function newestOf(jobs: readonly FleetJob[]): readonly FleetJob[] {
  const newest = new Map<string, FleetJob>();
  for (const job of jobs) if (job.state !== 'lost' && newest.get(subjectKey(job))?.state !== 'running') newest.set(subjectKey(job), job);
  return [...newest.values()].toSorted((a, b) => (subjectKey(a) < subjectKey(b) ? -1 : 1));
}
