import type { ExportSummary } from '@gantry/core';
import { ERROR_EXIT_CODES, GantryError, listExports, requireStore, similarInstances } from '@gantry/core';
import type { Store } from '@gantry/transport';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { formatBytes, formatTable } from '../output/format.ts';
import type { Session } from '../session.ts';

const command: CommandModule = defineCommand({
  description:
    'List the exports in a store, and say which are damaged or unfinished: the files of each are looked at, their contents are not. The exit status is 7 where an export is damaged.',
  arguments: ['<store>', '[instance]'],
  options: {},
  examples: ['gantry list /srv/exports', 'gantry list /srv/exports web1.example.com --json'],
  run: async (session, [address, instance]) => {
    await using store = await session.open(address, 'read');
    const exports = await Array.fromAsync(listExports(store, { instance, signal: session.signal }));
    if (exports.length === 0) await explainNothing(session, store, instance);
    const text =
      exports.length === 0 ? `no exports${instance === undefined ? '' : ` of ${instance}`} in ${store.address}` : describe(exports);
    const damaged = exports.filter(({ state }) => state === 'damaged').length;
    if (damaged > 0) session.exitWith(ERROR_EXIT_CODES.DUMP_DAMAGED);
    session.output.result({ operation: 'list', store: store.address, damaged, exports: exports.map(asJson) }, text);
  },
});

export default command;

/** An empty answer may mean that the wrong thing was asked for. */
async function explainNothing({ output, signal }: Session, store: Store, instance: string | undefined): Promise<void> {
  if (instance !== undefined) {
    const similar = await similarInstances(store, instance, { signal });
    if (similar.length > 0) output.warn(`there are no exports of ${instance}; there are some of ${similar.join(', ')}`);
    return;
  }
  try {
    await requireStore(store, { create: false, signal });
  } catch (error) {
    if (!(error instanceof GantryError) || error.code !== 'STORE_NOT_FOUND') throw error;
    output.warn(`${error.message}. ${error.hint ?? ''}`);
  }
}

/** One name for the id in the results of all commands. */
function asJson({ id: exportId, ...summary }: ExportSummary): Record<string, unknown> {
  return { exportId, ...summary };
}

const HEADING = ['EXPORT', 'STATE', 'DISKS', 'PLAIN', 'STORED'];

/** A table, and beneath it why exports are not complete: in it, the reasons would make it as wide as the longest. */
function describe(exports: readonly ExportSummary[]): readonly string[] {
  const reasons = exports.flatMap(({ reference, state, reason }) =>
    state === 'complete' ? [] : [`${reference} is ${state}: ${reason ?? ''}`],
  );
  // The id of an export that Gantry made is the time at which it was started; a column of its own would make the table wider than 80.
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

/** What was seen, and no more: a listing reads no dump. */
function describeState({ state, origin }: ExportSummary): string {
  if (state !== 'complete') return state;
  return origin === 'ganeti' ? 'no checksums' : 'not verified';
}
