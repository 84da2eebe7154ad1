import { firstFailure } from '../failures.ts';
import { cancelling } from './cancelling.ts';
import type { Check } from './check.ts';
import { commit } from './commit.ts';
import { createOnly } from './create-only.ts';
import { show } from './expect.ts';
import { ConformanceFailure } from './failure.ts';
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
  /** @throws ConformanceFailure when the promise is broken, or a call fails that should not (then that is its `cause`) */
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
      run: () => run(check, open, patienceMs),
    })),
  );
}

/** What the check found counts; that clearing up failed as well only where it found nothing. */
async function run(check: Check['check'], open: OpenStore, patienceMs: number): Promise<void> {
  try {
    const room = await Room.enter(open, patienceMs);
    try {
      await check(room);
    } catch (error) {
      await room[Symbol.asyncDispose]().catch(() => undefined);
      throw error;
    }
    await room[Symbol.asyncDispose]();
  } catch (error) {
    const first = firstFailure(error);
    throw first instanceof ConformanceFailure ? first : unexpected(first);
  }
}

/** Whatever a call rejects with that should have succeeded. */
function unexpected(error: unknown): ConformanceFailure {
  return new ConformanceFailure(`a call failed that should not: ${show(error)}`, { cause: error });
}
