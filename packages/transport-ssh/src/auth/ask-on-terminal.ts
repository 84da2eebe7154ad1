import { askForSecret } from '@gantry/transport';

/** Asks for the passphrase of a key file, as {@link askForSecret}. */
export function askOnTerminal(keyFile: string): Promise<string | undefined> {
  return askForSecret(`Passphrase of the key ${keyFile}`);
}
