import { cancelling } from './cancelling.ts';
import type { Check } from './check.ts';
import { commit } from './commit.ts';
import { createOnly } from './create-only.ts';
import { keys } from './keys.ts';
import { listing } from './listing.ts';
import { reading } from './reading.ts';
import { removing } from './removing.ts';
import { resume } from './resume.ts';
import type { OpenStore } from './room.ts';
import { Room } from './room.ts';
import { streams } from './streams.ts';
import { writing } from './writing.ts';

export { ConformanceFailure } from './failure.ts';

export interface ConformanceOptions {
  /** After how long a call that should have ended counts as hanging, in ms; 10 000 where absent. Slow, distant stores need more. */
  readonly patienceMs?: number | undefined;
}

/** One promise of the contract, to be run by any test runner, or by none. */
export interface ConformanceCase {
  readonly title: string;
  /** @throws ConformanceFailure when the promise is broken; whatever the store rejects with where it should not */
  readonly run: () => Promise<void>;
}

const TOPICS: Readonly<Record<string, readonly Check[]>> = {
  writing,
  streams,
  commit,
  'create-only': createOnly,
  resume,
  reading,
  listing,
  removing,
  keys,
  cancelling,
};

/**
 * What every store must do, as data. Under a test runner three lines serve:
 *
 * ```ts
 * for (const { title, run } of storeConformance(() => openMyStore('…'))) {
 *   test(title, run);
 * }
 * ```
 *
 * Each case works under a key prefix of its own (`gantry-check-…/`) and removes what it wrote, so that a store in use can be
 * checked too. What a store's capabilities rule out must be refused with `unsupported`: that is checked, not skipped.
 *
 * @param open opens the same place each time it is called; the cases dispose what they opened
 */
export function storeConformance(open: OpenStore, { patienceMs = 10_000 }: ConformanceOptions = {}): readonly ConformanceCase[] {
  return Object.entries(TOPICS).flatMap(([topic, checks]) =>
    checks.map(({ title, check }) => ({
      title: `${topic}: ${title}`,
      run: async () => {
        await using room = await Room.enter(open, patienceMs);
        await check(room);
      },
    })),
  );
}
