import { randomUUID } from 'node:crypto';
import { assertPolicies, isName } from '@gantry/config';
import { GantryError } from '@gantry/core';
import type { Context } from '../command-line/context.ts';
import { configurationOf, describeProblems, openContext } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { ask, ownNode } from '../command-line/options.ts';
import { outcome } from '../control/requests.ts';
import { nodeOf, whyNoNode } from '../planner/node-of.ts';
import type { FoundInstance } from '../planner/placement.ts';
import { Placement } from '../planner/placement.ts';
import { askStatus } from './ask-status.ts';

interface RunOptions extends QueueOptions {
  readonly config?: string;
  readonly policy?: string;
}

/** Runs `gantry-fleet run`: exports an instance as soon as its node can, outside of windows. */
export async function runRun(context: Context, name: string, { config, policy, ...options }: RunOptions): Promise<void> {
  const configuration = await configurationOf(context, config);
  if (policy !== undefined) assertPolicies(configuration, [policy]);
  const policies = [...configuration.policies.values()].filter((each) => policy === undefined || each.name === policy);
  const { instances, problems } = await new Placement(openContext(context), ownNode(context, undefined)).find(configuration, policies);
  const found = instances.filter(({ instance }) => instance === name);
  for (const line of describeProblems(problems)) context.output.warn(line);
  const { policy: from, host } = theOnly(found, name);
  const { nodes } = await askStatus(context, options, 0);
  const placed = nodeOf(nodes, host);
  if (placed.node === undefined) {
    const message = `cannot export ${name}: it is on ${host}, which ${whyNoNode(placed)}`;
    throw new GantryError('INSTANCE_ELSEWHERE', { message, hint: 'gantry-fleet init --node adds nodes.' });
  }
  const { node } = placed;
  const id = randomUUID();
  const stores = (configuration.policies.get(from)?.stores ?? []).filter(isName);
  await ask(context, options, { command: 'run', id, node, policy: from, instance: name, stores }, outcome);
  context.output.result({ operation: 'run', id, node, policy: from, instance: name }, [`${id}: ${name} on ${node}`]);
}

function theOnly(found: readonly FoundInstance[], name: string): FoundInstance {
  const [first, second] = found;
  if (first === undefined) {
    throw new GantryError('INSTANCE_NOT_FOUND', {
      message: `no policy selects an instance ${name}`,
      hint: 'gantry run POLICY --dry-run shows those that one selects.',
    });
  }
  if (second === undefined) return first;
  const message = `the policies ${found.map(({ policy }) => policy).join(' and ')} select ${name}`;
  throw new GantryError('INSTANCE_AMBIGUOUS', { message, hint: 'Name one with --policy.' });
}
