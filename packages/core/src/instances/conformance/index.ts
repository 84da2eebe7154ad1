import { cancelling } from './cancelling.ts';
import { describing } from './describing.ts';
import { ConformanceFailure } from './failure.ts';
import type { Check, InventoryConformanceOptions, OpenSource } from './fixture.ts';
import { expect } from './fixture.ts';
import { listing } from './listing.ts';
import type { ManagerCheck, ManagerConformanceOptions } from './managing.ts';
import { cleanUp, managerFixture, managing } from './managing.ts';
import { errorText } from '../../report/error-text.ts';

export { ConformanceFailure } from './failure.ts';
export type { InventoryConformanceOptions, OpenSource } from './fixture.ts';
export type { ManagerConformanceOptions } from './managing.ts';

/** One promise of the contract, to be run by any test runner, or by none. */
export interface InventoryCase {
  readonly title: string;
  /** @throws ConformanceFailure when the promise is broken, or a call fails that should not (then that is its `cause`) */
  readonly run: () => Promise<void>;
}

const TOPICS: Readonly<Record<string, readonly Check[]>> = { listing, describing, cancelling };

/**
 * What every inventory must do, as data. Under a test runner three lines serve:
 *
 * ```ts
 * for (const { title, run } of inventoryConformance(() => openMySource())) {
 *   test(title, run);
 * }
 * ```
 *
 * The suite only reads. The source must have two instances or more, which nobody changes meanwhile: better one with tags, a running and
 * a stopped one, and private OS parameters, whose values are given as `secrets`.
 *
 * @param open opens the same source each time it is called; the cases dispose what they opened
 */
export function inventoryConformance(open: OpenSource, options: InventoryConformanceOptions = {}): readonly InventoryCase[] {
  return Object.entries(TOPICS).flatMap(([topic, checks]) =>
    checks.map(({ title, check }) => ({ title: `${topic}: ${title}`, run: () => run(check, open, options) })),
  );
}

/**
 * What every manager must do, as data, for {@link inventoryConformance}'s sources that have one. Each case defines the instance of the
 * options, and removes it at its end.
 */
export function managerConformance(open: OpenSource, options: ManagerConformanceOptions): readonly InventoryCase[] {
  return managing.map(({ title, check }) => ({ title: `managing: ${title}`, run: () => runManaging(check, open, options) }));
}

async function runManaging(check: ManagerCheck['check'], open: OpenSource, options: ManagerConformanceOptions): Promise<void> {
  await using source = await open();
  const fixture = await managerFixture(source, options);
  try {
    await check(fixture);
  } catch (error) {
    await cleanUp(fixture).catch(() => undefined);
    throw asFailure(error);
  }
  await cleanUp(fixture);
}

async function run(
  check: Check['check'],
  open: OpenSource,
  { ambiguous, secrets = [], patienceMs = 10_000 }: InventoryConformanceOptions,
): Promise<void> {
  try {
    await using source = await open();
    const summaries = await Array.fromAsync(source.list());
    expect(summaries.length >= 2, `the source must have two instances or more for the suite, and has ${summaries.length}`);
    await check({ source, summaries, ambiguous, secrets, patienceMs });
  } catch (error) {
    throw asFailure(error);
  }
}

function asFailure(error: unknown): ConformanceFailure {
  if (error instanceof ConformanceFailure) return error;
  return new ConformanceFailure(`a call failed that should not: ${errorText(error)}`, {
    cause: error,
  });
}
