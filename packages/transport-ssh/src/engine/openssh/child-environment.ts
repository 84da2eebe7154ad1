import { PASSPHRASE_VARIABLE } from '../../auth/passphrases.ts';
import { askpassEnvironment } from './askpass.ts';

/**
 * The environment of an `ssh` that we start: ours, but in English, without questions, and without the passphrase, which is only passed on
 * where it is needed.
 */
export function childEnvironment(env: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const entries = Object.entries({ ...env, LC_ALL: 'C', [PASSPHRASE_VARIABLE]: undefined, ...askpassEnvironment(undefined) });
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
