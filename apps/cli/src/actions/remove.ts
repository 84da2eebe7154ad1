import { removeExport } from '@gantry/core';
import type { Session } from '../session.ts';
import { argument } from '../commands/common.ts';

export async function remove(session: Session, args: readonly string[]): Promise<void> {
  const reference = argument(args, 1);
  await using store = await session.open(argument(args, 0));
  await removeExport(store, reference, { signal: session.signal });
  session.output.result({ operation: 'remove', store: store.address, reference }, `${reference} removed`);
}
