import { PASSPHRASE_VARIABLE } from '../../auth/passphrases.ts';
import { askpassEnvironment } from './askpass.ts';

/**
 * What an `ssh` of ours gets: our environment, in English, asking nobody, and without the passphrase, which is handed on only where it
 * is needed.
 */
export function childEnvironment(env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const entries = Object.entries({ ...env, LC_ALL: 'C', [PASSPHRASE_VARIABLE]: undefined, ...askpassEnvironment(undefined) });
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
