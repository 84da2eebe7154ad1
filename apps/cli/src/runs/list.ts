import type { ExportSummary, RemovedSummary } from '@gantry/core';
import { ERROR_EXIT_CODES, GantryError, listExports, requireStore, similarInstances } from '@gantry/core';
import type { Store } from '@gantry/transport';
import { formatBytes, formatTable } from '../output/format.ts';
import type { Session } from '../session.ts';

/** Runs `gantry list`. */
export async function run(session: Session, [address, instance]: readonly [string, string | undefined]): Promise<void> {
  await using store = await session.open(address, 'read');
  const removed: RemovedSummary[] = [];
  const onRemoved = (each: RemovedSummary): void => void removed.push(each);
  const exports = await Array.fromAsync(listExports(store, { instance, signal: session.signal, onRemoved }));
  if (exports.length === 0) await explainNothing(session, store, instance);
  const text =
    exports.length === 0 ? `no exports${instance === undefined ? '' : ` of ${instance}`} in ${store.address}` : describe(exports);
  const damaged = exports.filter(({ state }) => state === 'damaged').length;
  if (damaged > 0) session.exitWith(ERROR_EXIT_CODES.DUMP_DAMAGED);
  const lines = [text, describeRemoved(removed)].flat();
  session.output.result({ operation: 'list', store: store.address, damaged, exports: exports.map(asJson), removed }, lines);
}

/** Their packs take space although they are not listed. */
function describeRemoved(removed: readonly RemovedSummary[]): readonly string[] {
  if (removed.length === 0) return [];
  const stored = formatBytes(removed.reduce((sum, { storedBytes }) => sum + storedBytes, 0));
  const whose = removed.length === 1 ? 'a removed export' : `${removed.length} removed exports`;
  return ['', `${stored} of ${whose} are kept for others; gantry prune deletes what nothing needs`];
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
function asJson({ id: exportId, ...summary }: ExportSummary): Record<string, unknown> {
  return { exportId, ...summary };
}

const HEADING = ['EXPORT', 'STATE', 'DISKS', 'PLAIN', 'STORED'];

/** A table, and below it why exports are not complete: a column of reasons would make the table too wide. */
function describe(exports: readonly ExportSummary[]): readonly string[] {
  const reasons = exports.flatMap(({ reference, state, reason, warning }) => [
    ...(state === 'complete' ? [] : [`${reference} is ${state}: ${reason ?? ''}`]),
    ...(warning === undefined ? [] : [`${reference}: ${warning}`]),
  ]);
  // The id of Gantry's own exports is their start time: another column would make the table wider than 80 characters.
  const started = exports.some(({ origin }) => origin === 'ganeti');
  const rows = [HEADING, ...exports.map(describeRow)];
  const table = started ? rows.map((row, place) => [...row, place === 0 ? 'STARTED' : describeStart(exports[place - 1])]) : rows;
  return [...formatTable(table), ...(reasons.length === 0 ? [] : ['', ...reasons])];
}

function describeRow(found: ExportSummary): readonly string[] {
  const { reference, disks, plainBytes, storedBytes } = found;
  return [
    reference,
    describeState(found),
    disks === undefined ? '-' : String(disks),
    plainBytes === undefined ? '-' : formatBytes(plainBytes),
    storedBytes === undefined ? '-' : formatBytes(storedBytes),
  ];
}

function describeStart(found: ExportSummary | undefined): string {
  return found?.started?.toISOString().replace(/\.\d+Z$/, 'Z') ?? '-';
}

/** `complete` says only that every file is there with its size. Ganeti's exports lack even the sizes. */
function describeState({ state, origin }: ExportSummary): string {
  return state === 'complete' && origin === 'ganeti' ? 'no checksums' : state;
}
