import type { ExportSummary } from '@gantry/core';
import { listExports } from '@gantry/core';
import { formatBytes, formatTable } from '../output/format.ts';
import type { Session } from '../session.ts';
import { argument } from '../commands/common.ts';

export async function listStore(session: Session, args: readonly string[]): Promise<void> {
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
}
