import type { OptionSpec } from './options.ts';
import { negatableFlag, orVariable, text } from './options.ts';

/** Whose signatures are good. */
export const SIGNERS: {
  readonly allowedSigners: OptionSpec<string | undefined>;
  readonly requireSignature: OptionSpec<boolean | undefined>;
} = {
  allowedSigners: orVariable(
    'GANTRY_ALLOWED_SIGNERS',
    text('--allowed-signers <file>', 'check the signature of the export: a file with who may sign, as ssh-keygen -Y verify takes it'),
  ),
  requireSignature: negatableFlag(
    'GANTRY_REQUIRE_SIGNATURE',
    '--require-signature',
    'with allowed signers: refuse an export that is not signed',
  ),
};

/** For commands that sign what they write. */
export const SIGN: { readonly sign: OptionSpec<string | undefined> } = {
  sign: text('--sign <key>', 'sign the export with this SSH key: a file without a passphrase, or a public key that is in the SSH agent'),
};
