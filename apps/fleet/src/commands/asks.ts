import { randomUUID } from 'node:crypto';
import { assertPolicies } from '@gantry/config';
import { ERROR_EXIT_CODES, GantryError, isSameHost } from '@gantry/core';
import type { Context } from '../command-line/context.ts';
import { configurationOf, describeProblems, openContext } from '../command-line/context.ts';
import type { QueueOptions } from '../command-line/options.ts';
import { ask, ownNode } from '../command-line/options.ts';
import { tableLines } from '../command-line/table.ts';
import type { FleetStatus } from '../control/requests.ts';
import { fleetStatus, outcome } from '../control/requests.ts';
import type { FoundInstance } from '../planner/placement.ts';
import { Placement } from '../planner/placement.ts';
import { subjectKey } from '../planner/job.ts';
import { nodeName } from '../queue/names.ts';

type Job = FleetStatus['jobs'][number];

const DAY_MS = 24 * 3_600_000;
/** Two nights: the one that runs, and the one before. */
const STATUS_DAYS = 2;
const REPORT_DAYS = 1;

async function statusOf(context: Context, options: QueueOptions, days: number): Promise<FleetStatus> {
  const since = new Date(Date.now() - days * DAY_MS).toISOString();
  return await ask(context, options, { command: 'status', since }, fleetStatus);
}

/** Runs `gantry-fleet status`: the newest export of each instance, and what nodes are paused. */
export async function runStatus(context: Context, options: QueueOptions): Promise<void> {
  const status = await statusOf(context, options, STATUS_DAYS);
  const jobs = newestOf(status.jobs);
  const lines = jobs.length === 0 ? ['no exports are planned'] : tableLines([HEADINGS, ...jobs.map(rowOf)]);
  const paused = status.paused.map((node) => (node === '*' ? 'all nodes are paused' : `${node} is paused`));
  context.output.result({ operation: 'status', nodes: status.nodes, paused: status.paused, jobs }, [...lines, ...paused]);
}

const HEADINGS = ['POLICY', 'INSTANCE', 'NODE', 'STATE', 'ATTEMPTS', 'SINCE', 'RESULT'];

function rowOf({ policy, instance, node, state, attempts, startAfter, startedOn, endedOn, output }: Job): readonly string[] {
  const since = state === 'waiting' ? startAfter : (endedOn ?? startedOn);
  const result = output.reference ?? (output.code === undefined ? '-' : `${output.code}: ${output.message ?? ''}`);
  return [policy, instance, node, state, String(attempts), since?.toISOString() ?? '-', result];
}

/** Of each subject the newest; one that runs counts before one that waits. Jobs come oldest first. */
function newestOf(jobs: readonly Job[]): readonly Job[] {
  const newest = new Map<string, Job>();
  for (const job of jobs) if (job.state !== 'lost' && newest.get(subjectKey(job))?.state !== 'running') newest.set(subjectKey(job), job);
  return [...newest.values()].toSorted((a, b) => (subjectKey(a) < subjectKey(b) ? -1 : 1));
}

interface ReportOptions extends QueueOptions {
  readonly days?: number;
}

/** Runs `gantry-fleet report`: how the exports of the last days ended; one line for each cause of failures, however many it has. */
export async function runReport(context: Context, { days = REPORT_DAYS, ...options }: ReportOptions): Promise<void> {
  const { jobs, findings } = await statusOf(context, options, days);
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
function causeOf({ instance, output: { code, message = '' } }: Job): string {
  return JSON.stringify([code, message.replaceAll(instance, '…')]);
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly instances: readonly string[];
}

function failureOf(jobs: readonly Job[]): Failure {
  const { code = 'KILLED', message = 'no agent reported how it ended' } = jobs[0]?.output ?? {};
  return { code, message, instances: [...new Set(jobs.map(({ instance }) => instance))] };
}

const MAX_LISTED = 5;

function listOf(names: readonly string[]): string {
  const more = names.length - MAX_LISTED;
  return `${names.slice(0, MAX_LISTED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

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
  const { nodes } = await statusOf(context, options, 0);
  const node = nodes.find((each) => isSameHost(each, host));
  if (node === undefined) {
    const message = `cannot export ${name}: it is on ${host}, which is not a node of the fleet`;
    throw new GantryError('INSTANCE_ELSEWHERE', { message, hint: 'gantry-fleet init --node adds nodes.' });
  }
  const id = randomUUID();
  await ask(context, options, { command: 'run', id, node, policy: from, instance: name }, outcome);
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

interface Selected {
  readonly operation: 'cancel' | 'redrive';
  readonly states: readonly Job['state'][];
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

/** @param name an instance, or the id of a job; absent: all */
async function forEachJob(
  context: Context,
  name: string | undefined,
  options: QueueOptions,
  { operation, states, days }: Selected,
): Promise<void> {
  const { jobs } = await statusOf(context, options, days);
  const considered = operation === 'redrive' ? newestOf(jobs) : jobs;
  const found = considered.filter((job) => states.includes(job.state) && (name === undefined || job.instance === name || job.id === name));
  if (found.length === 0 && name !== undefined) {
    const message = `${name} has no export that ${operation === 'cancel' ? 'waits or runs' : 'failed'}`;
    throw new GantryError('EXPORT_NOT_FOUND', { message, hint: 'gantry-fleet status shows the exports.' });
  }
  const changed: Job[] = [];
  for (const job of found) {
    const { done } = await ask(context, options, { command: operation, id: job.id, node: job.node }, outcome);
    if (done) changed.push(job);
  }
  const lines = changed.map(({ id, instance, node }) => `${id}: ${instance} on ${node}`);
  context.output.result({ operation, jobs: changed.map(({ id, node, policy, instance }) => ({ id, node, policy, instance })) }, lines);
}

/** Runs `gantry-fleet pause` and `resume`, for one node or for all. */
export async function runPause(
  context: Context,
  operation: 'pause' | 'resume',
  node: string | undefined,
  options: QueueOptions,
): Promise<void> {
  const name = node === undefined ? '*' : nodeName(node);
  await ask(context, options, { command: operation, node: name }, outcome);
  const what = node === undefined ? 'all nodes' : name;
  context.output.result({ operation, node: name }, [operation === 'pause' ? `nothing begins on ${what}` : `${what} may begin exports`]);
}
