import { resolve } from 'node:path';
import type { Signers } from '@gantry/core';
import type { OptionValues } from '../command-line/command.ts';
import type { SIGNERS } from '../command-line/signature-options.ts';
import type { Session } from '../session.ts';

/**
 * Whose signatures are good: what the options of a command say, else the environment and gantry.yaml.
 *
 * @param store as the command line names it
 * @param access as for the settings of a session
 */
export async function signersOf(
  { cwd, settings }: Pick<Session, 'cwd' | 'settings'>,
  { allowedSigners, requireSignature }: OptionValues<typeof SIGNERS>,
  store: string,
  access: 'read' | 'write',
): Promise<Signers> {
  const configured = await settings({ store }, access);
  return {
    allowedSigners: allowedSigners === undefined ? configured.allowedSigners : resolve(cwd, allowedSigners),
    requireSignature: requireSignature ?? configured.requireSignature,
  };
}
