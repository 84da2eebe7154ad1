/** How much one run reads: about that many bytes, or a share of all that is stored. */
export type VerifyBudget = { readonly bytes: number } | { readonly percent: number };

/** @returns bytes; no limit where there is no budget */
export function bytesOf(budget: VerifyBudget | undefined, storedBytes: number): number {
  if (budget === undefined) return Infinity;
  return 'bytes' in budget ? budget.bytes : Math.ceil((storedBytes * budget.percent) / 100);
}
