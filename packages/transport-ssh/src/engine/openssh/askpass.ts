import { fileURLToPath } from 'node:url';
import { PASSPHRASE_VARIABLE } from '../../auth/passphrases.ts';

/** A program of two lines that prints the variable; `ssh` runs it where it would else ask on a terminal. */
const HELPER: string = fileURLToPath(new URL('../../../bin/askpass.sh', import.meta.url));

/** What makes `ssh` ask our helper for passphrases, whatever terminal or display there is (ssh(1), OpenSSH 8.4 and later). */
export function askpassEnvironment(passphrase: string): Readonly<Record<string, string>> {
  return { SSH_ASKPASS: HELPER, SSH_ASKPASS_REQUIRE: 'force', [PASSPHRASE_VARIABLE]: passphrase };
}
