import { randomUUID } from 'node:crypto';
import type { Configuration, Policy } from '@gantry/config';
import { namedStore, policyNamed } from '@gantry/config';
import { GantryError } from '@gantry/core';
import type { Context } from '../command-line/context.ts';
import { configurationOf } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { ask } from '../command-line/options.ts';
import { outcome } from '../control/requests.ts';
import { nodeName } from '../queue/names.ts';
import type { RestoreOrder } from '../queue/restore-order.ts';
import { isExportReference, isRestoreTarget } from '../queue/restore-order.ts';
import { askStatus } from './ask-status.ts';
import { knownNode, listOf } from './known-node.ts';

interface RestoreOptions extends QueueOptions, Pick<RestoreOrder, 'to' | 'createDisks' | 'checkFirst' | 'resume' | 'dryRun' | 'yes'> {
  readonly config?: string;
  readonly node: string;
  readonly policy?: string;
  readonly store?: string;
}

/** Runs `gantry-fleet restore`: has the agent of a node import an export, before all exports that wait there. */
export async function runRestore(context: Context, reference: string, options: RestoreOptions): Promise<void> {
  const { to, createDisks, checkFirst, resume, dryRun, yes, config, node: asked, policy: from, store: named, ...queue } = options;
  assertRight(reference, options);
  const configuration = await configurationOf(context, config);
  const policy = from === undefined ? theOnlyPolicy(configuration) : policyNamed(configuration, from);
  const store = storeOf(configuration, policy, named);
  const name = nodeName(asked);
  const { nodes } = await askStatus(context, queue, 0);
  const node = knownNode(name, nodes);
  const id = randomUUID();
  const instance = reference.split('@')[0] ?? reference;
  const order: RestoreOrder = { store, export: reference, to, createDisks, checkFirst, resume, dryRun, yes };
  await ask(context, queue, { command: 'restore', id, node, policy: policy.name, instance, order }, outcome);
  const line = `${id}: ${reference} of ${store} on ${node}${dryRun === true ? ', a dry run' : ''}`;
  context.output.result({ operation: 'restore', id, node, policy: policy.name, instance, order }, [line]);
}

/** @throws GantryError `USAGE` */
function assertRight(reference: string, { to, dryRun, yes }: RestoreOptions): void {
  if (!isExportReference(reference)) {
    const hint = 'Write INSTANCE or INSTANCE@EXPORT-ID; gantry list shows them.';
    throw new GantryError('USAGE', { message: `${JSON.stringify(reference)} is not a valid export`, hint });
  }
  if (to !== undefined && !isRestoreTarget(to)) {
    const message = `--to ${to} is neither an instance of a source that the node has nor an absolute path`;
    throw new GantryError('USAGE', {
      message,
      hint: 'Write it as cluster:web1.example.com, with the name of an inventory in gantry.yaml.',
    });
  }
  if ((dryRun === true) === (yes === true)) {
    const hint = '--dry-run has the node say what it would overwrite (gantry-fleet status shows it), and --yes does it.';
    throw new GantryError('USAGE', { message: 'a restore needs --yes, or --dry-run', hint });
  }
}

function theOnlyPolicy({ policies }: Configuration): Policy {
  const [only, other] = policies.values();
  if (only !== undefined && other === undefined) return only;
  const hint = `Name one with --policy: ${[...policies.keys()].join(', ') || 'there are none'}.`;
  throw new GantryError('USAGE', { message: 'which policy made the export is not said', hint });
}

/** @throws GantryError `USAGE` unless it is one of the policy that has a name in the configuration: nodes may have it at another address */
function storeOf(configuration: Configuration, { name, stores, copies }: Policy, named: string | undefined): string {
  const known = [...stores, ...copies.map(({ to }) => to)].filter((each) => namedStore(configuration, each) !== undefined);
  const found = named === undefined ? known[0] : known.find((each) => each === named);
  if (found !== undefined) return found;
  const message = named === undefined ? `policy ${name} has no store with a name in gantry.yaml` : `policy ${name} has no store ${named}`;
  throw new GantryError('USAGE', { message, hint: `Its stores: ${listOf(known)}.` });
}
