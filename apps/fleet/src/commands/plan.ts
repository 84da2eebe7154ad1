import type { Configuration } from '@gantry/config';
import { ERROR_EXIT_CODES } from '@gantry/core';
import { occurrenceAt } from '@gantry/policies';
import { formatTable } from '@gantry/programs';
import type { Context } from '../command-line/context.ts';
import { configurationOf, describeProblems, openContext } from '../command-line/context.ts';
import { ownNode } from '../command-line/options.ts';
import type { PlannedJob } from '../planner/job.ts';
import { subjectText } from '../planner/job.ts';
import { storeWorkOf } from '../planner/store-work.ts';
import { Placement } from '../planner/placement.ts';
import { planFleet } from '../planner/plan.ts';
import { withoutEffect } from './without-effect.ts';

interface Options {
  readonly config?: string;
  readonly at?: Date;
}

/** Runs `gantry-fleet plan`: shows the exports of the windows that are open at a time, as if nothing had been planned before. */
export async function runPlan(context: Context, { config, at = new Date() }: Options): Promise<void> {
  const configuration = await configurationOf(context, config);
  const policies = [...configuration.policies.values()];
  const { instances, problems } = await new Placement(openContext(context), ownNode(context, undefined)).find(configuration, policies);
  const placed = instances.map(({ policy, instance, host }) => ({ policy, instance, node: host }));
  const { add, withoutWindow } = planFleet({ policies, instances: placed, known: [], now: at });
  const jobs = [...add, ...afterwards(configuration, at)];
  for (const line of describeProblems(problems)) context.output.warn(line);
  for (const name of withoutWindow) context.output.warn(`policy ${name} has no window: a fleet does not run it by itself`);
  for (const line of withoutEffect(configuration)) context.output.warn(line);
  if (problems.length > 0) context.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
  context.output.result({ operation: 'plan', at, jobs, problems, withoutWindow }, describe(jobs));
}

/** What follows at stores when the windows that are open end. */
function afterwards(configuration: Configuration, at: Date): readonly PlannedJob[] {
  const stores = storeWorkOf(configuration).found.map(({ policy, instance, work, host }) => ({ policy, instance, work, node: host }));
  return [...configuration.policies.values()].flatMap((policy) => {
    const open = policy.window && occurrenceAt(policy.window, at);
    return open === undefined ? [] : planFleet({ policies: [policy], instances: [], stores, known: [], now: open.end }).add;
  });
}

function describe(jobs: readonly PlannedJob[]): readonly string[] {
  if (jobs.length === 0) return ['no window is open then'];
  const rows = jobs
    .toSorted((a, b) => a.startAfter.getTime() - b.startAfter.getTime())
    .map((job) => [job.startAfter.toISOString(), job.node, job.policy, subjectText(job), job.window.end.toISOString()]);
  return formatTable([['START', 'NODE', 'POLICY', 'INSTANCE', 'WINDOW ENDS'], ...rows]);
}
