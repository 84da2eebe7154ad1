import type { Mutant } from '../mutant.ts';
import { mutantsOf } from '../mutant.ts';

const TESTS = { unfinished: 'packages/core/src/exports/unfinished.test.ts' } as const;

/** What a place keeps that is given up, or cleared: the claim and the objects of another run, and a claim of what stays. */
export const CLAIM_GUARDS: readonly Mutant[] = mutantsOf('packages/core/src/exports', TESTS, [
  [
    'a claim that another run has made in a place that is given up stays',
    'held-claim.ts',
    'if (claimed !== undefined) await removeClaim(this.#store, this.prefix, this.#claim.text, { signal });',
    'await this.remove([CLAIM_FILE], signal);',
    'unfinished',
  ],
  [
    'a forced clean removes nothing of a copy that has become complete meanwhile',
    'unfinished.ts',
    'if (now === undefined && stale.length > 0 && isOfAnother(files, await namesBelow(store, prefix, options))) return',
    "if (now === '') return",
    'unfinished',
  ],
  [
    'what an exporter cannot remove has a claim',
    'held-claim.ts',
    "if (signal.aborted || (isStoreError(error) && !isStoreError(error, 'unavailable'))) await this.#claimAgain();",
    '',
    'unfinished',
  ],
]);
