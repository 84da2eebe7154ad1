import { ERROR_EXIT_CODES } from '@gantry/core';
import type { Context } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import type { FleetJob } from '../queue/fleet-queue.ts';
import { askStatus } from './ask-status.ts';

const REPORT_DAYS = 1;

interface ReportOptions extends QueueOptions {
  readonly days?: number;
}

/** Runs `gantry-fleet report`: how the exports of the last days ended; one line for each cause of failures, however many it has. */
export async function runReport(context: Context, { days = REPORT_DAYS, ...options }: ReportOptions): Promise<void> {
  const { jobs, findings } = await askStatus(context, options, days);
  const counts = Object.fromEntries([...Map.groupBy(jobs, ({ state }) => state)].map(([state, all]) => [state, all.length]));
  const failures = [
    ...Map.groupBy(
      jobs.filter(({ state }) => state === 'failed'),
      causeOf,
    ),
  ].map(([, all]) => failureOf(all));
  const missed = findings.filter(({ kind }) => kind === 'missed');
  const overrun = findings.filter(({ kind }) => kind === 'overrun');
  if (failures.length + missed.length > 0) context.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
  const states = Object.entries(counts).map(([state, count]) => `${count} ${state}`);
  context.output.result({ operation: 'report', days, counts, failures, missed, overrun }, [
    states.length === 0 ? 'no exports were planned' : states.join(', '),
    ...failures.map(({ code, message, instances }) => `${instances.length} failed: ${message} [${code}]: ${listOf(instances)}`),
    ...missed.map(
      ({ policy, instance, window, reason }) => `missed: ${instance} (policy ${policy}), ${window.begin.toISOString()}: ${reason}`,
    ),
    ...overrun.map(({ policy, instance, reason }) => `not exported again: ${instance} (policy ${policy}): ${reason}`),
  ]);
}

/** A store that is down fails every export for one reason, in which only the instance differs. */
function causeOf({ instance, output: { code, message = '' } }: FleetJob): string {
  return JSON.stringify([code, message.replaceAll(instance, '…')]);
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly instances: readonly string[];
}

function failureOf(jobs: readonly FleetJob[]): Failure {
  const { code = 'KILLED', message = 'no agent reported how it ended' } = jobs[0]?.output ?? {};
  return { code, message, instances: [...new Set(jobs.map(({ instance }) => instance))] };
}

const MAX_LISTED = 5;

function listOf(names: readonly string[]): string {
  const more = names.length - MAX_LISTED;
  return `${names.slice(0, MAX_LISTED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
