import { initializeStore } from '@gantry/core';
import type { Session } from '../session.ts';
import { argument } from '../commands/common.ts';

export async function initStore(session: Session, args: readonly string[]): Promise<void> {
  await using store = await session.open(argument(args, 0));
  const { id, created } = await initializeStore(store, { signal: session.signal });
  const text = created ? `${store.address} is a store now` : `${store.address} is a store already`;
  session.output.result({ operation: 'store-init', store: store.address, id, created }, text);
}
