import type { ExportSummary } from '@gantry/core';
import { listExports } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { formatBytes, formatTable } from '../output/format.ts';

const command: CommandModule = defineCommand({
  arguments: ['<store>', '[instance]'],
  options: {},
  examples: ['gantry list /srv/exports', 'gantry list /srv/exports web1.example.com --json'],
  run: async (session, [address, instance]) => {
    await using store = await session.open(address);
    const exports = await Array.fromAsync(listExports(store, { instance, signal: session.signal }));
    const text = exports.length === 0 ? `no exports in ${store.address}` : formatTable([HEADING, ...exports.map(describeRow)]);
    session.output.result({ operation: 'list', store: store.address, exports }, text);
  },
});

export default command;

const HEADING = ['EXPORT', 'STATE', 'STARTED', 'DISKS', 'PLAIN', 'STORED'];

function describeRow(found: ExportSummary): readonly string[] {
  const { reference, started, disks, plainBytes, storedBytes } = found;
  return [
    reference,
    describeState(found),
    started === undefined ? '-' : started.toISOString().replace(/\.\d+Z$/, 'Z'),
    disks === undefined ? '-' : String(disks),
    plainBytes === undefined ? '-' : formatBytes(plainBytes),
    storedBytes === undefined ? '-' : formatBytes(storedBytes),
  ];
}

function describeState({ state, origin, reason, warning }: ExportSummary): string {
  if (state !== 'complete') return `${state}: ${reason ?? ''}`;
  const complete = origin === 'ganeti' ? "Ganeti's, no checksums" : 'complete';
  return warning === undefined ? complete : `${complete}; ${warning}`;
}
