import type { ListedExport, RefusedExport, Signers } from '@gantry/core';
import { asksForSignatures, GantryError, openExport, refusalOf, sideBySide } from '@gantry/core';
import type { Store } from '@gantry/transport';
import { newestFirst } from './policy-status.ts';

/** Instances whose exports are looked at at once. */
const MAX_PARALLEL_CHECKS = 8;

export interface RefusedOptions extends Signers {
  /** Of the instances. */
  readonly names: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * Of each instance, the exports whose signature is refused and that are newer than the last good one: older ones decide nothing. Without
 * allowed signers nothing is read.
 *
 * @throws GantryError `USAGE` where a signature is required of nobody, or the file of signers cannot be read; `STORE_*`; the signal's reason
 */
export async function refusedOf(
  store: Store,
  exports: readonly ListedExport[],
  { names, allowedSigners, requireSignature, signal }: RefusedOptions,
): Promise<readonly RefusedExport[]> {
  const signers = { allowedSigners, requireSignature };
  if (!asksForSignatures(signers)) return [];
  const found = await sideBySide(names, MAX_PARALLEL_CHECKS, signal, async (name, signal) => {
    const own = exports.filter(({ instance }) => instance === name);
    const refused: RefusedExport[] = [];
    for (const { reference } of newestFirst(own, new Date())) {
      const refusal = await refusalIn(store, reference, { ...signers, signal });
      if (refusal === undefined) break;
      if (refusal !== 'gone') refused.push(refusal);
    }
    return refused;
  });
  return found.flat();
}

async function refusalIn(
  store: Store,
  reference: string,
  options: Signers & { readonly signal: AbortSignal },
): Promise<RefusedExport | 'gone' | undefined> {
  try {
    return await refusalOf(store, await openExport(store, reference, { signal: options.signal }), options);
  } catch (error) {
    // It was removed since it was listed.
    if (error instanceof GantryError && error.code === 'EXPORT_NOT_FOUND') return 'gone';
    throw error;
  }
}
