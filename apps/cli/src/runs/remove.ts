import { removeExport } from '@gantry/core';
import type { Session } from '../session.ts';

/** Runs `gantry remove`. */
export async function run(session: Session, [address, reference]: readonly [string, string]): Promise<void> {
  await using store = await session.open(address, 'read');
  await removeExport(store, reference, { signal: session.signal });
  session.output.result({ operation: 'remove', store: store.address, reference }, `removed ${reference}`);
}
