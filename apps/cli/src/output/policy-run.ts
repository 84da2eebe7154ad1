import type { InstanceOfRun, PlannedInstance, PolicyPlan, PolicyRun, RunProblem, StoreOfRun } from '@gantry/policies';
import type { TableColumn } from '@gantry/programs';
import { fittingTable, formatBytes, formatDuration } from '@gantry/programs';

/** How a run ended: a table of its instances within a number of columns, what was done with its stores, what failed, and one line for all. */
export function describePolicyRun(run: PolicyRun, width: number): readonly string[] {
  const { policy, instances, stores, problems, warnings, started, ended } = run;
  const all = [...instances.flatMap((instance) => instance.problems), ...problems];
  const took = ended === undefined ? '' : ` in ${formatDuration(Date.parse(ended) - Date.parse(started))}`;
  return [
    ...(instances.length === 0 ? [] : fittingTable(COLUMNS, instances, width)),
    ...stores.map(describeStore),
    ...all.flatMap(describeProblem),
    ...warnings.map((warning) => `warning: ${warning}`),
    `${policy}: ${[`${run.outcome}${took}`, ...countsOf(run, all.length)].join(': ')}`,
  ];
}

const COLUMNS: readonly TableColumn<InstanceOfRun>[] = [
  { heading: 'INSTANCE', cell: ({ name }) => name },
  { heading: 'STATE', cell: ({ state }) => state },
  { heading: 'EXPORT', optional: 2, cell: ({ reference }) => idOf(reference) },
  { heading: 'PLAIN', optional: 1, cell: ({ plainBytes }) => bytesOf(plainBytes) },
  { heading: 'STORED', optional: 3, cell: ({ storedBytes }) => bytesOf(storedBytes) },
  { heading: 'TIME', optional: 4, cell: tookOf },
];

function tookOf({ started, ended }: InstanceOfRun): string {
  return started === undefined || ended === undefined ? '-' : formatDuration(Date.parse(ended) - Date.parse(started));
}

function idOf(reference: string | undefined): string {
  return reference === undefined ? '-' : reference.slice(reference.lastIndexOf('@') + 1);
}

function bytesOf(bytes: number | undefined): string {
  return bytes === undefined ? '-' : formatBytes(bytes);
}

function describeStore({ store, copied, verified, pruned }: StoreOfRun): string {
  const parts = [
    ...(copied === undefined ? [] : [`${countOf(copied.exports, 'export')} copied (${formatBytes(copied.sentBytes)})`]),
    ...(verified === undefined ? [] : [describeVerified(verified)]),
    ...(pruned === undefined ? [] : [`${countOf(pruned.removed.length, 'export')} removed, ${formatBytes(pruned.deletedBytes)} deleted`]),
  ];
  return `${store}: ${parts.join('; ')}`;
}

function describeVerified(verified: NonNullable<StoreOfRun['verified']>): string {
  const { exports, damaged, unreadable, refused = [], closed = 0, left, readBytes } = verified;
  const bad = [
    ...(damaged.length === 0 ? [] : [`${damaged.length} damaged`]),
    ...(unreadable.length === 0 ? [] : [`${unreadable.length} unreadable`]),
    ...(refused.length === 0 ? [] : [`${refused.length} refused`]),
    ...(closed === 0 ? [] : [`${countOf(closed, 'sealed export')} not opened`]),
  ];
  const later = left === 0 ? '' : `, ${left} left for later runs`;
  return `${countOf(exports, 'export')} verified (${formatBytes(readBytes)} read)${bad.length === 0 ? '' : `: ${bad.join(', ')}`}${later}`;
}

/** What to do about it is a line of its own, as with every error. */
function describeProblem({ what, message, code, hint }: RunProblem): readonly string[] {
  return [`failed: ${what}: ${message} [${code}]`, ...(hint === undefined ? [] : [`  ${hint}`])];
}

function countsOf({ instances, stores }: PolicyRun, problems: number): readonly string[] {
  const isOfStores = instances.length === 0 && stores.length > 0;
  const counts = [...(isOfStores ? [] : [countStates(instances)]), ...(problems === 0 ? [] : [countOf(problems, 'problem')])];
  return counts.length === 0 ? [] : [counts.join(', ')];
}

function countStates(instances: readonly InstanceOfRun[]): string {
  const states = (['exported', 'present', 'failed', 'left', 'running', 'waiting'] as const).flatMap((state) => {
    const found = instances.filter((instance) => instance.state === state).length;
    return found === 0 ? [] : [`${found} ${state}`];
  });
  return states.length === 0 ? 'no instances' : `${states.join(', ')} of ${countOf(instances.length, 'instance')}`;
}

const WOULD: Readonly<Record<PlannedInstance['would'], string>> = {
  export: 'would be exported',
  copy: 'would be copied to the stores that lack it',
  skip: 'has a recent export',
  wait: 'outside of the window',
  fail: 'would fail',
};

/** What a run would do. */
export function describePolicyPlan({ policy, instances, stores, problems }: PolicyPlan): readonly string[] {
  return [
    `${policy}: ${countOf(instances.length, 'instance')}`,
    ...instances.map(({ name, would, reference, problem }) => {
      const detail = problem === undefined ? reference : `${problem.message} [${problem.code}]`;
      return `  ${name}: ${WOULD[would]}${detail === undefined ? '' : `: ${detail}`}`;
    }),
    ...stores.flatMap(({ store, copies = [], removes = [] }) => [
      ...copies.map((reference) => `  ${store}: would get a copy of ${reference}`),
      ...removes.map((reference) => `  ${store}: would lose ${reference}`),
    ]),
    ...problems.flatMap((problem) => describeProblem(problem).map((line) => `  ${line}`)),
  ];
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
