import { resolve } from 'node:path';
import type { CopyRequest, Signers } from '@gantry/core';
import { assertSigners } from '@gantry/core';
import type { OptionValues } from '../command-line/command.ts';
import type { SIGNERS } from '../command-line/signature-options.ts';
import { settingsOfEnvironment } from '../command-line/environment.ts';
import type { Session } from '../session.ts';

/**
 * Whose signatures are good: what the options of a command say, else the environment and gantry.yaml.
 *
 * @param store as the command line names it
 * @param access as for the settings of a session: but a configuration that cannot be used is an error
 *   where it may require signatures, and nothing else says whether they are required
 */
export async function signersOf(
  { cwd, env, settings }: Pick<Session, 'cwd' | 'env' | 'settings'>,
  { allowedSigners, requireSignature }: OptionValues<typeof SIGNERS>,
  store: string,
  access: 'read' | 'write',
): Promise<Signers> {
  const ofEnvironment = settingsOfEnvironment({ env, cwd });
  const required = requireSignature ?? ofEnvironment.requireSignature;
  const isSaid = required === false || (required === true && (allowedSigners ?? ofEnvironment.allowedSigners) !== undefined);
  const named = allowedSigners === undefined ? undefined : resolve(cwd, allowedSigners);
  // What is wrong with an option is said before a store is asked.
  if (named !== undefined) await assertSigners({ allowedSigners: named });
  const configured = await settings({ store }, isSaid ? access : 'write');
  return {
    allowedSigners: named ?? configured.allowedSigners,
    requireSignature: requireSignature ?? configured.requireSignature,
  };
}

/** Whose signatures are good where an export is copied from one store to another: as {@link signersOf} for each of them. */
export async function copySignersOf(
  session: Pick<Session, 'cwd' | 'env' | 'settings'>,
  options: OptionValues<typeof SIGNERS>,
  { from, to }: { readonly from: string; readonly to: string },
  access: 'read' | 'write',
): Promise<Pick<CopyRequest, 'allowedSigners' | 'requireSignature' | 'targetSigners'>> {
  return { ...(await signersOf(session, options, from, access)), targetSigners: await signersOf(session, options, to, access) };
}
