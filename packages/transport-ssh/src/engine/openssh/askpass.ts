import { fileURLToPath } from 'node:url';
import { PASSPHRASE_VARIABLE } from '../../auth/passphrases.ts';

/** A program that `ssh` runs where it would else ask on a terminal: it answers for key files alone. */
const HELPER: string = fileURLToPath(new URL('../../../bin/askpass.sh', import.meta.url));

/** For which key file alone the passphrase is; the helper reads it. */
const KEY_VARIABLE = 'GANTRY_SSH_KEY';

/** A passphrase, and what it opens. */
export interface KeyPassphrase {
  readonly passphrase: string;
  /** As ssh names the file; undefined: any. */
  readonly keyFile: string | undefined;
}

/**
 * What makes `ssh` ask our helper for passphrases, whatever terminal or display there is (ssh(1), OpenSSH 8.4 and later). An `ssh` to
 * a host on the way (`ProxyJump`) inherits it, and asks for more than that: without a passphrase nothing is to be asked at all.
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
