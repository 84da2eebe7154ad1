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
import { rangeCopy } from './range-copy.ts';
import { removing } from './removing.ts';
import { resume } from './resume.ts';
import type { OpenStore } from './fixture.ts';
import { Fixture } from './fixture.ts';
import { salvage } from './salvage.ts';
import { streams } from './streams.ts';
import { writing } from './writing.ts';

export { ConformanceFailure } from './failure.ts';

export interface ConformanceOptions {
  /** After how long a call counts as hanging, in ms; 10 000 by default. Slow or distant stores need more. */
  readonly patienceMs?: number | undefined;
}

/** One promise of the contract, to be run with or without a test runner. */
export interface ConformanceCase {
  readonly title: string;
  /** @throws ConformanceFailure if the promise is broken, or a call fails unexpectedly (then its error is the `cause`) */
  readonly run: () => Promise<void>;
}

const TOPICS: Readonly<Record<string, readonly Check[]>> = {
  writing,
  streams,
  commit,
  'create-only': createOnly,
  resume,
  salvage,
  reading,
  listing,
  removing,
  'range copy': rangeCopy,
  keys,
  cancelling,
};

/**
 * The promises of every store, as data. With a test runner three lines are enough:
 *
 * ```ts
 * for (const { title, run } of storeConformance(() => openMyStore('…'))) {
 *   test(title, run);
 * }
 * ```
 *
 * Each case works under a key prefix of its own (`gantry-check-…/`) and removes what it wrote, so that a store in use can be checked
 * too. Calls that the store's capabilities rule out must be refused with `unsupported`: that is checked, not skipped.
 *
 * @param open opens the same store each time; the cases dispose what they open
 */
export function storeConformance(open: OpenStore, { patienceMs = 10_000 }: ConformanceOptions = {}): readonly ConformanceCase[] {
  return Object.entries(TOPICS).flatMap(([topic, checks]) =>
    checks.map(({ title, check }) => ({
      title: `${topic}: ${title}`,
      run: () => run(check, open, patienceMs),
    })),
  );
}

/** The error of the check counts; an error of the cleanup only if the check succeeded. */
async function run(check: Check['check'], open: OpenStore, patienceMs: number): Promise<void> {
  try {
    const fixture = await Fixture.create(open, patienceMs);
    try {
      await check(fixture);
    } catch (error) {
      await fixture[Symbol.asyncDispose]().catch(() => undefined);
      throw error;
    }
    await fixture[Symbol.asyncDispose]();
  } catch (error) {
    const first = firstFailure(error);
    throw first instanceof ConformanceFailure ? first : unexpected(first);
  }
}

/** The failure for a call that should have succeeded. */
function unexpected(error: unknown): ConformanceFailure {
  return new ConformanceFailure(`a call failed unexpectedly: ${show(error)}`, { cause: error });
}
