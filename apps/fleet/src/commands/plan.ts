import { ERROR_EXIT_CODES } from '@gantry/core';
import { formatTable } from '@gantry/programs';
import type { Context } from '../command-line/context.ts';
import { configurationOf, describeProblems, openContext } from '../command-line/context.ts';
import { ownNode } from '../command-line/options.ts';
import type { PlannedJob } from '../planner/job.ts';
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
  for (const line of describeProblems(problems)) context.output.warn(line);
  for (const name of withoutWindow) context.output.warn(`policy ${name} has no window: a fleet does not run it by itself`);
  for (const line of withoutEffect(configuration)) context.output.warn(line);
  if (problems.length > 0) context.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
  context.output.result({ operation: 'plan', at, jobs: add, problems, withoutWindow }, describe(add));
}

function describe(jobs: readonly PlannedJob[]): readonly string[] {
  if (jobs.length === 0) return ['no window is open then'];
  const rows = jobs
    .toSorted((a, b) => a.startAfter.getTime() - b.startAfter.getTime())
    .map(({ node, policy, instance, startAfter, window }) => [startAfter.toISOString(), node, policy, instance, window.end.toISOString()]);
  return formatTable([['START', 'NODE', 'POLICY', 'INSTANCE', 'WINDOW ENDS'], ...rows]);
}
