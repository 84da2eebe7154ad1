import type { CopyRequest, Signers } from '@gantry/core';
import type { PolicyRunRequest } from './run-request.ts';

/** Whose signatures are good in a store of a policy, as the policy names it. */
export async function signersOf({ settingsOf }: Pick<PolicyRunRequest, 'settingsOf'>, named: string): Promise<Signers> {
  const { allowedSigners, requireSignature } = await settingsOf(named);
  return { allowedSigners, requireSignature };
}

/** The same for copies from one store of a policy to another. */
export async function copySignersOf(
  request: Pick<PolicyRunRequest, 'settingsOf'>,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<Pick<CopyRequest, 'allowedSigners' | 'requireSignature' | 'targetSigners'>> {
  return { ...(await signersOf(request, from)), targetSigners: await signersOf(request, to) };
}
