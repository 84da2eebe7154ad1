import type { Subject } from '../planner/job.ts';
import { subjectText } from '../planner/job.ts';
import type { FleetJob } from '../queue/records.ts';

/** Exports, or work at stores, that failed for one reason. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  /** Each once. */
  readonly subjects: readonly Subject[];
}

/** The exports that failed, by cause: a store that is down fails every export for one reason, in which only the instance differs. */
export function failuresOf(jobs: readonly FleetJob[]): readonly Failure[] {
  const failed = jobs.filter(({ state }) => state === 'failed');
  return [...Map.groupBy(failed, causeOf).values()].map(failureOf);
}

function causeOf({ instance, output: { code, message = '' } }: FleetJob): string {
  return JSON.stringify([code, message.replaceAll(instance, '…')]);
}

function failureOf(jobs: readonly FleetJob[]): Failure {
  const { code = 'KILLED', message = 'no agent reported how it ended' } = jobs[0]?.output ?? {};
  return { code, message, subjects: [...new Map(jobs.map((job) => [subjectText(job), job])).values()] };
}
