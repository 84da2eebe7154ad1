import process from 'node:process';
import type { ListedExport, StoreListing } from '@gantry/core';
import { ERROR_EXIT_CODES, GantryError, listStore, requireStore, similarInstances } from '@gantry/core';
import type { TableColumn } from '@gantry/programs';
import { fittingTable, formatAge, formatBytes } from '@gantry/programs';
import type { Store } from '@gantry/transport';
import type { Session } from '../session.ts';

/** Runs `gantry list`. */
export async function run(session: Session, [address, instance]: readonly [string, string | undefined]): Promise<void> {
  await using store = await session.open(address, 'read');
  const { stateDirectory } = session.operation;
  const instances = instance === undefined ? undefined : [instance];
  const listing = await listStore({ store, instances, stateDirectory, signal: session.signal });
  const { exports, removed } = listing;
  if (exports.length === 0) await explainNothing(session, store, instance);
  const none = `no exports${instance === undefined ? '' : ` of ${instance}`} in ${store.address}`;
  const damaged = exports.filter(({ state }) => state === 'damaged').length;
  if (damaged > 0) session.exitWith(ERROR_EXIT_CODES.DUMP_DAMAGED);
  const result = { operation: 'list', store: store.address, damaged, exports: exports.map(asJson), removed, totals: totalsOf(exports) };
  const width = process.stdout.isTTY ? process.stdout.columns : Infinity;
  session.output.result(result, exports.length === 0 ? [none, ...describeRemoved(removed)] : describeListing(listing, width));
}

/** Their packs take space although they are not listed. */
function describeRemoved(removed: StoreListing['removed']): readonly string[] {
  if (removed.length === 0) return [];
  const stored = formatBytes(removed.reduce((sum, { storedBytes }) => sum + storedBytes, 0));
  const whose = removed.length === 1 ? 'a removed export' : `${removed.length} removed exports`;
  return [`${stored} of ${whose} are kept for others; gantry prune deletes what nothing needs`];
}

/** An empty list may mean a mistyped name or an unmounted file system. */
async function explainNothing({ output, signal }: Session, store: Store, instance: string | undefined): Promise<void> {
  if (instance !== undefined) {
    const similar = await similarInstances(store, instance, { signal });
    if (similar.length > 0) output.warn(`there are no exports of ${instance}, but of ${similar.join(', ')}`);
    return;
  }
  try {
    await requireStore(store, { create: false, signal });
  } catch (error) {
    if (!(error instanceof GantryError) || error.code !== 'STORE_NOT_FOUND') throw error;
    output.warn(`${error.message}. ${error.hint ?? ''}`);
  }
}

/** Renames `id`, so that all commands have the same name for it in their results. */
function asJson({ id: exportId, ...summary }: ListedExport): Record<string, unknown> {
  return { exportId, ...summary };
}

interface Totals {
  readonly exports: number;
  readonly instances: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
}

function totalsOf(exports: readonly ListedExport[]): Totals {
  const sum = (of: (each: ListedExport) => number | undefined): number => exports.reduce((total, each) => total + (of(each) ?? 0), 0);
  return {
    exports: exports.length,
    instances: new Set(exports.map(({ instance }) => instance)).size,
    plainBytes: sum(({ plainBytes }) => plainBytes),
    storedBytes: sum(({ storedBytes }) => storedBytes),
  };
}

/** What a terminal that is narrow does without, goes first. The id of Gantry's own exports is their start time. */
const COLUMNS: readonly TableColumn<ListedExport>[] = [
  { heading: 'EXPORT', cell: ({ reference }) => reference },
  { heading: 'STATE', cell: describeState },
  { heading: 'AGE', optional: 2, cell: ({ started }) => (started === undefined ? '-' : formatAge(Date.now() - started.getTime())) },
  { heading: 'DISKS', optional: 1, cell: ({ disks }) => (disks === undefined ? '-' : String(disks)) },
  { heading: 'PLAIN', optional: 3, cell: ({ plainBytes }) => describeBytes(plainBytes) },
  { heading: 'STORED', optional: 6, cell: ({ storedBytes }) => describeBytes(storedBytes) },
  { heading: 'OWN', optional: 5, cell: ({ ownBytes }) => describeBytes(ownBytes) },
  { heading: 'VERIFIED', optional: 4, cell: describeVerified },
];

/** Only where one of the exports has something to show there. */
const RARE_COLUMNS: readonly (TableColumn<ListedExport> & { readonly isShown: (each: ListedExport) => boolean })[] = [
  {
    heading: 'PROTECTED',
    optional: 4,
    isShown: ({ protectedUntil }) => protectedUntil !== undefined,
    cell: ({ protectedUntil }) => (protectedUntil === undefined ? '-' : `until ${protectedUntil.toISOString().slice(0, 10)}`),
  },
  { heading: 'TAGS', optional: 0, isShown: ({ tags }) => tags !== undefined, cell: ({ tags = [] }) => tags.join(',') || '-' },
];

/**
 * A table, below it why exports are not complete (a column of reasons would make the table too wide), and totals at the end.
 *
 * @param width of the terminal, characters
 */
export function describeListing({ exports, removed }: StoreListing, width: number): readonly string[] {
  const reasons = exports.flatMap(({ reference, state, reason, warning }) => [
    ...(state === 'complete' ? [] : [`${reference} is ${state}: ${reason ?? ''}`]),
    ...(warning === undefined ? [] : [`${reference}: ${warning}`]),
  ]);
  const { instances, plainBytes, storedBytes } = totalsOf(exports);
  const count = `${countOf(exports.length, 'export')} of ${countOf(instances, 'instance')}`;
  return [
    ...fittingTable([...COLUMNS, ...RARE_COLUMNS.filter(({ isShown }) => exports.some(isShown))], exports, width),
    ...(reasons.length === 0 ? [] : ['', ...reasons]),
    '',
    `${count}: ${formatBytes(plainBytes)} plain, ${formatBytes(storedBytes)} stored`,
    ...describeRemoved(removed),
  ];
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function describeBytes(bytes: number | undefined): string {
  return bytes === undefined ? '-' : formatBytes(bytes);
}

function describeVerified({ state, verified }: ListedExport): string {
  if (verified === undefined) return state === 'complete' ? 'never' : '-';
  return `${formatAge(Date.now() - verified.at.getTime())} (${verified.depth})`;
}

/** `complete` says only that every file is there with its size. Ganeti's exports lack even the sizes. */
function describeState({ state, origin }: ListedExport): string {
  return state === 'complete' && origin === 'ganeti' ? 'no checksums' : state;
}
