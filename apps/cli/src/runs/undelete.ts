import type { UndeletedExport } from '@gantry/core';
import { ERROR_EXIT_CODES, undelete } from '@gantry/core';
import { formatBytes } from '@gantry/programs';
import type { Session } from '../session.ts';

/** Runs `gantry undelete`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string | undefined],
  { dryRun }: { readonly dryRun: true | undefined },
): Promise<void> {
  const onlyLists = reference === undefined || dryRun === true;
  await using store = await session.open(address, onlyLists ? 'read' : 'write');
  const exports = await undelete({
    store,
    export: reference,
    dryRun,
    warn: (message) => session.output.warn(message),
    signal: session.signal,
  });
  if (exports.some(({ outcome }) => outcome === 'incomplete')) session.exitWith(ERROR_EXIT_CODES.DUMP_MISSING);
  else if (exports.some(({ outcome }) => outcome === 'busy')) session.exitWith(ERROR_EXIT_CODES.BUSY);
  const lines = exports.map(describe);
  if (lines.length === 0) lines.push(`nothing that was removed from ${store.address} can be brought back`);
  else if (reference === undefined) lines.push('name an instance, or one of these exports, to bring it back');
  session.output.result({ operation: 'undelete', store: store.address, dryRun: onlyLists, exports }, lines);
}

function describe({ reference, removed, bytes, outcome, code, reason }: UndeletedExport): string {
  const what = `${reference}: removed ${removed.toISOString()}, ${formatBytes(bytes)}`;
  if (outcome === 'found') return what;
  return outcome === 'restored' ? `${what}, brought back` : `${what}, ${outcome}: ${reason ?? ''} [${code ?? ''}]`;
}
