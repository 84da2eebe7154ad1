import { checkLabels, GantryError, tagExport } from '@gantry/core';
import type { Session } from '../session.ts';

/** Runs `gantry tag`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string],
  labels: {
    readonly add: readonly string[] | undefined;
    readonly remove: readonly string[] | undefined;
    readonly note: string | undefined;
  },
): Promise<void> {
  const { add, remove, note } = labels;
  if (add === undefined && remove === undefined && note === undefined) {
    throw new GantryError('USAGE', { message: 'there is nothing to change', hint: 'Give --add, --remove or --note.' });
  }
  for (const tags of [add, remove]) checkLabels({ tags, note });
  await using store = await session.open(address, 'write');
  const { signal, onEvent } = session.operation;
  const result = await tagExport({ store, export: reference, add, remove, note, signal, onEvent });
  const tags = result.tags.length === 0 ? 'no tags' : `tags ${result.tags.join(', ')}`;
  const shown = result.note === undefined ? 'no note' : `note ${JSON.stringify(result.note)}`;
  session.output.result({ operation: 'tag', store: store.address, ...result }, `${result.reference}: ${tags}, ${shown}`);
}
