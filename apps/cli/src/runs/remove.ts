import { ERROR_EXIT_CODES, removeExport } from '@gantry/core';
import { formatBytes } from '../output/format.ts';
import type { Session } from '../session.ts';

/** Runs `gantry remove`. */
export async function run(session: Session, [address, reference]: readonly [string, string]): Promise<void> {
  await using store = await session.open(address, 'write');
  const { keptBytes, unclear } = await removeExport(store, reference, { signal: session.signal });
  for (const why of unclear) session.output.warn(`kept its dumps, because other exports may refer to them: ${why}`);
  if (unclear.length > 0) session.exitWith(ERROR_EXIT_CODES.MANIFEST_DAMAGED);
  const kept = keptBytes === 0 ? '' : `; ${formatBytes(keptBytes)} stay for other exports, until gantry prune finds that none needs them`;
  session.output.result({ operation: 'remove', store: store.address, reference, keptBytes, unclear }, `removed ${reference}${kept}`);
}
