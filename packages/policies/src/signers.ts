import type { Signers } from '@gantry/core';
import type { PolicyRunRequest } from './run-request.ts';

/** Whose signatures are good in a store of a policy, as the policy names it. */
export async function signersOf({ settingsOf }: Pick<PolicyRunRequest, 'settingsOf'>, named: string): Promise<Signers> {
  const { allowedSigners, requireSignature } = await settingsOf(named);
  return { allowedSigners, requireSignature };
}
