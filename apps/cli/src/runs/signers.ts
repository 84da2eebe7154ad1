import type { Signers } from '@gantry/core';
import { resolve } from 'node:path';
import type { CliContext } from '../session.ts';

/** Whose signatures are good, as the options of a command say it. */
export function signersOf({ cwd }: Pick<CliContext, 'cwd'>, { allowedSigners, requireSignature }: Signers): Signers {
  return { allowedSigners: allowedSigners === undefined ? undefined : resolve(cwd, allowedSigners), requireSignature };
}
