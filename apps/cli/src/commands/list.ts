import type { ExportSummary } from '@gantry/core';
import { listExports } from '@gantry/core';
import type { Command } from 'commander';
import { formatBytes, formatTable } from '../output/format.ts';
import type { CommonOptions, Surroundings } from '../session.ts';
import { argument, newCommand, runs } from './common.ts';

export function addListCommand(program: Command, surroundings: Surroundings): void {
  const command = newCommand(program, 'list <store> [instance]', 'List the exports in a store; unfinished and damaged ones are marked.', [
    'gantry list /srv/exports',
    'gantry list /srv/exports web1.example.com --json',
  ]);
  runs<CommonOptions>(command, surroundings, async (session, args) => {
    await using store = await session.open(argument(args, 0));
    const exports: ExportSummary[] = [];
    for await (const summary of listExports(store, { instance: args[1], signal: session.signal })) exports.push(summary);
    const rows = exports.map((found) => [
      found.reference,
      found.state === 'complete'
        ? found.origin === 'ganeti'
          ? "Ganeti's, no checksums"
          : 'complete'
        : `${found.state}: ${found.reason ?? ''}`,
      found.started === undefined ? '-' : found.started.toISOString().replace(/\.\d+Z$/, 'Z'),
      found.disks === undefined ? '-' : String(found.disks),
      found.plainBytes === undefined ? '-' : formatBytes(found.plainBytes),
      found.storedBytes === undefined ? '-' : formatBytes(found.storedBytes),
    ]);
    session.output.result(
      { store: store.address, exports },
      rows.length === 0
        ? `no exports in ${store.address}`
        : formatTable([['EXPORT', 'STATE', 'STARTED', 'DISKS', 'PLAIN', 'STORED'], ...rows]),
    );
  });
}
