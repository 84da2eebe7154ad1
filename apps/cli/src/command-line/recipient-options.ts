import type { OptionSpec } from './options.ts';
import { orVariable, texts } from './options.ts';

/** To whom a command encrypts anew what is sealed already. */
export const RECIPIENTS: {
  readonly recipient: OptionSpec<readonly string[] | undefined>;
  readonly recipientsFile: OptionSpec<readonly string[] | undefined>;
} = {
  recipient: orVariable('GANTRY_RECIPIENT', texts('--recipient <recipient>', 'of a sealed export: encrypt it to this public key of age')),
  recipientsFile: orVariable(
    'GANTRY_RECIPIENTS_FILE',
    texts('--recipients-file <file>', 'of a sealed export: encrypt it to the public keys of age in this file'),
  ),
};
