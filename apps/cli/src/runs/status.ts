import process from 'node:process';
import type { Policy } from '@gantry/config';
import { assertPolicies } from '@gantry/config';
import { ERROR_EXIT_CODES, GantryError } from '@gantry/core';
import type { TableColumn } from '@gantry/programs';
import { fittingTable, formatAge, formatBytes } from '@gantry/programs';
import { askPolicies } from '../monitoring/ask-policies.ts';
import { PLUGIN_STATES, pluginFailure, pluginOutput } from '../monitoring/plugin.ts';
import type { InstanceStatus, PolicyStatus } from '../monitoring/policy-status.ts';
import type { Session } from '../session.ts';

interface Options {
  readonly check: true | undefined;
}

/** Runs `gantry status`. */
export async function run(session: Session, [names]: readonly [readonly string[]], { check }: Options): Promise<void> {
  if (check === true) return await runCheck(session, names);
  const policies = await askPolicies(session, await policiesOf(session, names));
  const exitCode = exitCodeOf(policies);
  if (exitCode !== undefined) session.exitWith(exitCode);
  const width = process.stdout.isTTY ? process.stdout.columns : Infinity;
  session.output.result({ operation: 'status', policies }, policies.length === 0 ? NONE : describe(policies, width));
}

const NONE = 'no policies in the configuration';

/** Monitoring takes every exit code for a state: so a failure is one line, too. */
async function runCheck(session: Session, names: readonly string[]): Promise<void> {
  try {
    const policies = await askPolicies(session, await policiesOf(session, names));
    show(session, pluginOutput(policies), policies);
  } catch (error) {
    session.signal.throwIfAborted();
    if (!(error instanceof GantryError)) throw error;
    show(session, pluginFailure(error.message), []);
  }
}

function show({ output, exitWith }: Session, { state, line }: ReturnType<typeof pluginOutput>, policies: readonly PolicyStatus[]): void {
  exitWith(PLUGIN_STATES[state]);
  output.result({ operation: 'status', policies, check: { state, line } }, line);
}

async function policiesOf(session: Session, names: readonly string[]): Promise<readonly Policy[]> {
  const configuration = await session.configuration();
  assertPolicies(configuration, names);
  return [...configuration.policies.values()].filter(({ name }) => names.length === 0 || names.includes(name));
}

/** A promise that is broken counts before an answer that is missing. */
function exitCodeOf(policies: readonly PolicyStatus[]): number | undefined {
  const all = policies.flatMap(({ instances }) => instances);
  if (all.some(({ state }) => state === 'late' || state === 'missing')) return ERROR_EXIT_CODES.EXPORT_LATE;
  if (all.some(({ state }) => state === 'unknown') || policies.some(({ problems }) => problems.length > 0))
    return ERROR_EXIT_CODES.STORE_FAILED;
  return undefined;
}

type Row = InstanceStatus & Pick<PolicyStatus, 'policy' | 'maxAgeMs'>;

const COLUMNS: readonly TableColumn<Row>[] = [
  { heading: 'POLICY', optional: 4, cell: ({ policy }) => policy },
  { heading: 'INSTANCE', cell: ({ instance }) => instance },
  { heading: 'STORE', optional: 6, cell: ({ store }) => store },
  { heading: 'STATE', cell: ({ state }) => state },
  { heading: 'AGE', cell: ({ good }) => (good === undefined ? '-' : formatAge(good.ageMs)) },
  { heading: 'MAX', optional: 3, cell: ({ maxAgeMs }) => (maxAgeMs === undefined ? '-' : formatAge(maxAgeMs)) },
  { heading: 'PLAIN', optional: 1, cell: ({ good }) => bytesOf(good?.plainBytes) },
  { heading: 'STORED', optional: 2, cell: ({ good }) => bytesOf(good?.storedBytes) },
  {
    heading: 'VERIFIED',
    optional: 5,
    cell: ({ good }) =>
      good === undefined ? '-' : good.verified === undefined ? 'never' : formatAge(Date.now() - good.verified.at.getTime()),
  },
];

function bytesOf(bytes: number | undefined): string {
  return bytes === undefined ? '-' : formatBytes(bytes);
}

/** A table of exports; below it what is wrong, and when each policy ran and runs. */
function describe(policies: readonly PolicyStatus[], width: number): readonly string[] {
  const rows = policies.flatMap(({ policy, maxAgeMs, instances }) => instances.map((status) => ({ ...status, policy, maxAgeMs })));
  const reasons = new Set([
    ...policies.flatMap(({ problems }) => problems),
    ...rows.flatMap(({ store, reason }) => (reason === undefined ? [] : [`cannot ask ${store}: ${reason}`])),
    ...rows.flatMap(({ store, damaged }) => damaged.map((reference) => `${reference} in ${store} is damaged`)),
    ...rows.flatMap(({ store, refused }) => refused.map(({ reference, reason }) => `${reference} in ${store} is refused: ${reason}`)),
  ]);
  return [
    ...(rows.length === 0 ? ['no instances'] : fittingTable(COLUMNS, rows, width)),
    ...(reasons.size === 0 ? [] : ['', ...reasons]),
    '',
    ...policies.map(describeRuns),
  ];
}

function describeRuns({ policy, lastRun, lastRunUnknown, nextRun }: PolicyStatus): string {
  const last =
    lastRun === undefined
      ? lastRunUnknown === true
        ? 'its last run is unknown'
        : 'it has not run on this machine'
      : `last run ${formatAge(Date.now() - Date.parse(lastRun.started))} ago (${lastRun.outcome})`;
  const next = nextRun === undefined ? 'no timer' : `next run in ${formatAge(nextRun.getTime() - Date.now())}`;
  return `${policy}: ${last}, ${next}`;
}
