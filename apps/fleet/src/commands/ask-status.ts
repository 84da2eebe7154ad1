import type { Context } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { ask } from '../command-line/options.ts';
import type { FleetStatus } from '../control/requests.ts';
import { fleetStatus } from '../control/requests.ts';
import { subjectKey } from '../planner/job.ts';
import type { FleetJob } from '../queue/fleet-queue.ts';

const DAY_MS = 24 * 3_600_000;

/** What a queue has of the last days. @throws GantryError `QUEUE_*`, `USAGE` */
export async function askStatus(context: Context, options: QueueOptions, days: number): Promise<FleetStatus> {
  const since = new Date(Date.now() - days * DAY_MS).toISOString();
  return await ask(context, options, { command: 'status', since }, fleetStatus);
}

/** Of each subject the newest; one that runs counts before one that waits. @param jobs oldest first */
export function newestOf(jobs: readonly FleetJob[]): readonly FleetJob[] {
  const newest = new Map<string, FleetJob>();
  for (const job of jobs) if (job.state !== 'lost' && newest.get(subjectKey(job))?.state !== 'running') newest.set(subjectKey(job), job);
  return [...newest.values()].toSorted((a, b) => (subjectKey(a) < subjectKey(b) ? -1 : 1));
}
