import { addKeys, GantryError } from '@gantry/core';
import type { OptionValues } from '../command-line/command.ts';
import type { IDENTITY, RATE } from '../command-line/options.ts';
import type { Session } from '../session.ts';

/** Runs `gantry keys add`. */
export async function run(
  session: Session,
  [address, exports]: readonly [string, readonly string[]],
  {
    recipient: recipients = [],
    ...options
  }: OptionValues<typeof RATE & typeof IDENTITY> & {
    readonly recipient: readonly string[] | undefined;
  },
): Promise<void> {
  if (exports.length === 0)
    throw new GantryError('USAGE', { message: 'which exports to add keys to is missing', hint: 'gantry keys check lists them.' });
  if (recipients.length === 0) throw new GantryError('USAGE', { message: 'there is no recipient', hint: 'Give --recipient age1…' });
  await using store = await session.openSealed(address, 'write', options);
  const { signal, onEvent } = session.operation;
  const result = await addKeys({ store, exports, recipients, signal, onEvent });
  const lines = result.exports.map(({ reference, file, keys }) => `${reference}: ${file} has ${keys === 1 ? 'its key' : `${keys} keys`}`);
  session.output.result({ operation: 'keys-add', store: store.address, ...result }, lines);
}
