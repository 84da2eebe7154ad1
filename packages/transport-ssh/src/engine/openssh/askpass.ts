import { fileURLToPath } from 'node:url';
import { PASSPHRASE_VARIABLE } from '../../auth/passphrases.ts';

/** A program that `ssh` runs instead of asking on a terminal: it answers only for key files. */
const HELPER: string = fileURLToPath(new URL('../../../bin/askpass.sh', import.meta.url));

/** Tells the helper to which key file the passphrase belongs. */
const KEY_VARIABLE = 'GANTRY_SSH_KEY';

/** A passphrase and its key. */
export interface KeyPassphrase {
  readonly passphrase: string;
  /** The file name as ssh shows it; undefined for any file. */
  readonly keyFile: string | undefined;
}

/**
 * Makes `ssh` ask our helper for passphrases, even if there is a terminal or display (ssh(1), OpenSSH 8.4 and later). The `ssh` to a jump
 * host (`ProxyJump`) inherits it and may ask for other things too: without a passphrase, nothing is asked at all.
 */
export function askpassEnvironment(known: KeyPassphrase | undefined): Readonly<Record<string, string>> {
  if (known === undefined) return { SSH_ASKPASS_REQUIRE: 'never' };
  return {
    SSH_ASKPASS: HELPER,
    SSH_ASKPASS_REQUIRE: 'force',
    [PASSPHRASE_VARIABLE]: known.passphrase,
    [KEY_VARIABLE]: known.keyFile ?? '',
  };
}
