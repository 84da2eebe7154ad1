import { resolve } from 'node:path';
import { addKeys, GantryError, readRecipients } from '@gantry/core';
import type { OptionValues } from '../command-line/command.ts';
import type { IDENTITY, RATE } from '../command-line/options.ts';
import type { SIGNERS } from '../command-line/signature-options.ts';
import type { Session } from '../session.ts';
import { signersOf } from './signers.ts';

/** Runs `gantry keys add`. */
export async function run(
  session: Session,
  [address, exports]: readonly [string, readonly string[]],
  {
    recipient: recipients = [],
    recipientsFile = [],
    ...options
  }: OptionValues<typeof RATE & typeof IDENTITY & typeof SIGNERS> & {
    readonly recipient: readonly string[] | undefined;
    readonly recipientsFile: readonly string[] | undefined;
  },
): Promise<void> {
  if (exports.length === 0)
    throw new GantryError('USAGE', { message: 'which exports to add keys to is missing', hint: 'gantry keys check lists them.' });
  if (recipients.length + recipientsFile.length === 0)
    throw new GantryError('USAGE', { message: 'there is no recipient', hint: 'Give --recipient age1… or --recipients-file FILE.' });
  const { signal, onEvent } = session.operation;
  const recipientsFiles = recipientsFile.map((file) => resolve(session.cwd, file));
  // What is wrong with the call is said before the store is asked.
  await readRecipients({ recipients, recipientsFiles }, signal);
  const signers = await signersOf(session, options, address, 'write');
  await using store = await session.openSealed(address, 'write', options);
  const result = await addKeys({
    store,
    exports,
    recipients,
    recipientsFiles,
    ...signers,
    signal,
    onEvent,
  });
  // Whose keys were given away, each with its name.
  const lines = result.exports.flatMap(({ reference, file, keys, keysOf }) =>
    keys === 1
      ? [`${reference}: ${file} has its key`]
      : [`${reference}: ${file} has ${keys} keys, of`, ...keysOf.map((each) => `  ${each}`)],
  );
  session.output.result({ operation: 'keys-add', store: store.address, ...result }, lines);
}
