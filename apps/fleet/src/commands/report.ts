import { ERROR_EXIT_CODES } from '@gantry/core';
import type { Context } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { planHealth } from '../planner/health.ts';
import { subjectText } from '../planner/job.ts';
import { failuresOf } from '../view/failures.ts';
import { askStatus } from './ask-status.ts';

const REPORT_DAYS = 1;

interface ReportOptions extends QueueOptions {
  readonly days?: number;
}

/** Runs `gantry-fleet report`: how the exports of the last days ended; one line for each cause of failures, however many it has. */
export async function runReport(context: Context, { days = REPORT_DAYS, ...options }: ReportOptions): Promise<void> {
  const { jobs, findings, turns } = await askStatus(context, options, days);
  const counts = Object.fromEntries([...Map.groupBy(jobs, ({ state }) => state)].map(([state, all]) => [state, all.length]));
  const failures = failuresOf(jobs).map(({ code, message, subjects }) => ({ code, message, instances: subjects.map(subjectText) }));
  const missed = findings.filter(({ kind }) => kind === 'missed');
  const overrun = findings.filter(({ kind }) => kind === 'overrun');
  // A window without an export may be one that nobody has planned.
  const { problems } = planHealth(turns);
  if (failures.length + missed.length + problems.length > 0) context.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
  const states = Object.entries(counts).map(([state, count]) => `${count} ${state}`);
  context.output.result({ operation: 'report', days, counts, failures, missed, overrun, problems }, [
    states.length === 0 ? 'no exports were planned' : states.join(', '),
    ...problems,
    ...failures.map(({ code, message, instances }) => `${instances.length} failed: ${message} [${code}]: ${listOf(instances)}`),
    ...missed.map(
      ({ policy, instance, work, window, reason }) =>
        `missed: ${subjectText({ instance, work })} (policy ${policy}), ${window.begin.toISOString()}: ${reason}`,
    ),
    ...overrun.map(
      ({ policy, instance, work, reason }) => `not started again: ${subjectText({ instance, work })} (policy ${policy}): ${reason}`,
    ),
  ]);
}

const MAX_LISTED = 5;

function listOf(names: readonly string[]): string {
  const more = names.length - MAX_LISTED;
  return `${names.slice(0, MAX_LISTED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
