import { GantryError } from '@gantry/core';
import type { CliContext } from './session.ts';
import { passphraseFor } from './unsealing.ts';

/**
 * Asks on the terminal for a passphrase that something new is encrypted with: twice, so that nobody is locked out by a slip.
 *
 * @throws GantryError `USAGE` where nobody can be asked, and if the two differ; the reason of the signal
 */
export async function newPassphrase(context: Pick<CliContext, 'signal'>): Promise<string> {
  const passphrase = await passphraseFor(context, 'Passphrase of the new export');
  if ((await passphraseFor(context, 'The same passphrase again')) === passphrase) return passphrase;
  throw new GantryError('USAGE', { message: 'the two passphrases differ', hint: 'Run the command again.' });
}
