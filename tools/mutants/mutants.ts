import { CLAIM_GUARDS } from './guards/claims.ts';
import { EXPORT_GUARDS } from './guards/exports.ts';
import { FRAME_GUARDS } from './guards/frames.ts';
import { HOST_GUARDS } from './guards/host.ts';
import { REMOVAL_GUARDS } from './guards/removals.ts';
import { STORE_GUARDS } from './guards/stores.ts';
import type { Mutant } from './mutant.ts';

/** The guards of data that `scripts/mutants.sh` takes away, one at a time. */
export const MUTANTS: readonly Mutant[] = [
  ...FRAME_GUARDS,
  ...EXPORT_GUARDS,
  ...CLAIM_GUARDS,
  ...REMOVAL_GUARDS,
  ...HOST_GUARDS,
  ...STORE_GUARDS,
];
