import type { OptionSpec } from './options.ts';
import { flag, orVariable, text } from './options.ts';

/** Whose signatures are good. */
export const SIGNERS: {
  readonly allowedSigners: OptionSpec<string | undefined>;
  readonly requireSignature: OptionSpec<true | undefined>;
} = {
  allowedSigners: orVariable(
    'GANTRY_ALLOWED_SIGNERS',
    text('--allowed-signers <file>', 'check the signature of the export: a file with who may sign, as ssh-keygen -Y verify takes it'),
  ),
  requireSignature: flag('--require-signature', 'with --allowed-signers: refuse an export that is not signed'),
};
