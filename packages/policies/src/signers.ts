import type { CopyRequest, Signers } from '@gantry/core';
import { mayBeAllowed } from '@gantry/core';
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

/** A store of a policy in which its exports will not be good. */
export interface RefusingStore {
  /** Its place in the policy, such as `copies[0].to`. */
  readonly at: string;
  /** As the policy names it. */
  readonly named: string;
  /** Why, without the name of the policy. */
  readonly why: string;
}

/**
 * The stores whose readers will refuse what a policy exports, as far as the settings say it: known before the first export, and not after
 * each of them. What cannot be read is found elsewhere.
 */
export async function refusingStores({
  policy: { stores, copies },
  settings: { signKey },
  settingsOf,
}: Pick<PolicyRunRequest, 'policy' | 'settings' | 'settingsOf'>): Promise<readonly RefusingStore[]> {
  const places = [
    ...stores.map((named, index) => ({ at: `stores[${index}]`, named, so: 'no export in it will count' })),
    ...copies.map(({ to: named }, index) => ({ at: `copies[${index}].to`, named, so: 'nothing will be copied to it' })),
  ];
  const found: RefusingStore[] = [];
  for (const { at, named, so } of places) {
    const { allowedSigners, requireSignature } = await signersOf({ settingsOf }, named);
    if (signKey === undefined) {
      const why = `${named} takes only signed exports, and there is no sign-key: ${so}`;
      if (requireSignature === true) found.push({ at, named, why });
    } else if (allowedSigners !== undefined && (await mayBeAllowed(signKey, allowedSigners)) === false)
      found.push({ at, named, why: `${allowedSigners} has no line for the sign-key ${signKey}, and ${named} goes by it: ${so}` });
  }
  return found;
}

/** {@link refusingStores} as warnings. */
export async function warningsOfSigners(request: Pick<PolicyRunRequest, 'policy' | 'settings' | 'settingsOf'>): Promise<readonly string[]> {
  return (await refusingStores(request)).map(({ why }) => `policy ${request.policy.name}: ${why}`);
}
