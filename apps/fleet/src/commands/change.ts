import { isName } from '@gantry/config';
import { GantryError } from '@gantry/core';
import type { Context } from '../command-line/context.ts';
import { configurationOf } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { ask } from '../command-line/options.ts';
import { outcome } from '../control/requests.ts';
import { subjectText } from '../planner/job.ts';
import type { FleetJob } from '../queue/records.ts';
import { isSegment, limitedText, nodeName, segmentKey } from '../queue/names.ts';
import type { LimitSettings } from '../queue/store-tokens.ts';
import { rateText } from '../view/limits.ts';
import { newestOf } from '../view/newest.ts';
import { askStatus } from './ask-status.ts';
import { knownNode, listOf } from './known-node.ts';

interface Selected {
  readonly operation: 'cancel' | 'redrive';
  readonly states: readonly FleetJob['state'][];
  readonly days: number;
}

const CANCEL: Selected = { operation: 'cancel', states: ['waiting', 'running'], days: 31 };
const REDRIVE: Selected = { operation: 'redrive', states: ['failed'], days: 31 };

/** Runs `gantry-fleet cancel`: takes back the exports of an instance that wait, and ends those that run. */
export async function runCancel(context: Context, name: string, options: QueueOptions): Promise<void> {
  await forEachJob(context, name, options, CANCEL);
}

/** Runs `gantry-fleet redrive`: has the newest export of an instance, or of every one, tried again if it failed. */
export async function runRedrive(context: Context, name: string | undefined, options: QueueOptions): Promise<void> {
  await forEachJob(context, name, options, REDRIVE);
}

/** @param name an instance, `store NAME` for work at a store, or the id of a job; absent: all */
async function forEachJob(
  context: Context,
  name: string | undefined,
  options: QueueOptions,
  { operation, states, days }: Selected,
): Promise<void> {
  const { jobs } = await askStatus(context, options, days);
  // Who wants a restore again consents again.
  const considered = operation === 'redrive' ? newestOf(jobs).filter(({ work }) => work !== 'restore') : jobs;
  // An instance may have the name of a store.
  const isNamed = (job: FleetJob): boolean => [job.id, job.work === 'store' ? subjectText(job) : job.instance].includes(name ?? '');
  const found = considered.filter((job) => states.includes(job.state) && (name === undefined || isNamed(job)));
  if (found.length === 0 && name !== undefined) {
    const message = `${name} has no export that ${operation === 'cancel' ? 'waits or runs' : 'failed'}`;
    throw new GantryError('EXPORT_NOT_FOUND', { message, hint: 'gantry-fleet status shows the exports.' });
  }
  const changed: FleetJob[] = [];
  for (const job of found) {
    const { done } = await ask(context, options, { command: operation, id: job.id, node: job.node }, outcome);
    if (done) changed.push(job);
  }
  const lines = changed.map((job) => `${job.id}: ${subjectText(job)} on ${job.node}`);
  context.output.result(
    { operation, jobs: changed.map(({ id, node, policy, instance, work }) => ({ id, node, policy, instance, work })) },
    lines,
  );
}

/** Runs `gantry-fleet pause` and `resume`, for one node or for all. */
export async function runPause(
  context: Context,
  operation: 'pause' | 'resume',
  node: string | undefined,
  options: QueueOptions,
): Promise<void> {
  const name = node === undefined ? '*' : await askNode(context, node, options);
  await ask(context, options, { command: operation, node: name }, outcome);
  const what = node === undefined ? 'all nodes' : name;
  context.output.result({ operation, node: name }, [operation === 'pause' ? `nothing begins on ${what}` : `${what} may begin exports`]);
}

/** @returns the node as the fleet names it @throws GantryError `USAGE` if it has no such node, or several */
async function askNode(context: Context, text: string, options: QueueOptions): Promise<string> {
  const name = nodeName(text);
  const { nodes, paused } = await askStatus(context, options, 0);
  return knownNode(name, nodes, paused);
}

interface LimitOptions extends QueueOptions {
  readonly config?: string;
  readonly rate?: number;
}

/** Runs `gantry-fleet limit`: how many exports of all nodes at once are written into a store, and how fast. */
export async function runLimit(
  context: Context,
  store: string,
  atOnce: number | undefined,
  { config, rate, ...options }: LimitOptions,
): Promise<void> {
  if (!isName(store)) {
    const message = `"${store}" is not the name of a store in gantry.yaml`;
    throw new GantryError('USAGE', { message, hint: 'Stores that policies name by their addresses cannot have a limit.' });
  }
  // One that is no longer configured may have a limit, which can be taken away.
  if (atOnce !== undefined) {
    const { stores } = await configurationOf(context, config);
    if (!stores.has(store)) {
      const message = `gantry.yaml has no store ${store}: nothing would be limited`;
      throw new GantryError('USAGE', { message, hint: `Its stores: ${listOf([...stores.keys()])}.` });
    }
  }
  await setLimit(context, options, store, atOnce === undefined ? undefined : { atOnce, bytesPerSecond: rate });
}

interface SegmentOptions extends QueueOptions {
  readonly node?: readonly string[];
  readonly rate?: number;
}

/** Runs `gantry-fleet segment`: how many exports at once go out of a network segment, which has some nodes, and how fast. */
export async function runSegment(
  context: Context,
  segment: string,
  atOnce: number | undefined,
  { node: asked = [], rate, ...options }: SegmentOptions,
): Promise<void> {
  if (!isName(segment)) {
    const message = `"${segment}" is not a valid name of a network segment`;
    throw new GantryError('USAGE', { message, hint: 'A letter, then letters, digits, _ and -.' });
  }
  if (atOnce !== undefined && asked.length === 0) {
    throw new GantryError('USAGE', { message: `which nodes are in segment ${segment} is not said`, hint: 'Name each with --node.' });
  }
  const nodes: string[] = [];
  for (const name of atOnce === undefined ? [] : asked) nodes.push(await askNode(context, name, options));
  await setLimit(context, options, segmentKey(segment), atOnce === undefined ? undefined : { atOnce, bytesPerSecond: rate, nodes });
}

async function setLimit(context: Context, options: QueueOptions, store: string, settings: LimitSettings | undefined): Promise<void> {
  await ask(context, options, { command: 'limit', store, settings }, outcome);
  const name = limitedText(store);
  const line =
    settings === undefined
      ? `${name} has no limit`
      : `${name} takes ${settings.atOnce === 1 ? '1 export' : `${settings.atOnce} exports`} at once${rateText(settings)}`;
  context.output.result({ operation: isSegment(store) ? 'segment' : 'limit', store, ...settings }, [line]);
}
