import { readdir, rm } from 'node:fs/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { GantryError } from '../../src/report/errors.ts';
import { Killed } from '../histories.ts';
import type { OperationBenchOptions } from '../operation-bench.ts';
import type { FaultPoint } from './faults.ts';
import { CANCELLED, Faults } from './faults.ts';
import { contentsOf, expectNothingLost } from './invariants.ts';
import { endProcesses, expectCleared } from './next-command.ts';
import type { Operation, Parts } from './operations.ts';
import type { Medium, Place } from './place.ts';
import { choosePoints, isPassedOver, pointText, reportCount } from './points.ts';
import type { World } from './world.ts';
import { copyState, digestsOf, makeWorld, opened, pathsOf } from './world.ts';

type Places = readonly [Place, Place];

/** A run of an operation on copies of both places. */
interface Attempt extends AsyncDisposable {
  readonly places: Places;
  readonly failure: unknown;
}

/** Tries an operation with faults, some or all that there can be, and looks at what each leaves. */
async function tryPoints(medium: Medium, operation: Operation, world: World): Promise<void> {
  await using base = await prepared(operation, world);
  const counted = new Faults();
  {
    await using attempt = await attemptIt(operation, world, base.places, counted);
    expect(attempt.failure, 'without a fault').toBeUndefined();
  }
  const points = operation.points ?? medium.points(counted.calls);
  const chosen = choosePoints(`${medium.name}:${operation.name}`, points);
  const missed: string[] = [];
  for (const point of chosen) {
    const name = `${medium.name}:${operation.name}:${pointText(point)}`;
    if (!(await isReached({ operation, world, places: base.places, point, name }))) missed.push(name);
  }
  reportCount(`${medium.name}: ${operation.name}`, { reached: chosen.length - missed.length, missed, all: points.length });
  if (!isGuess(medium, operation)) expect(missed, 'faults that were not reached').toEqual([]);
}

/** Whether two runs may make other calls, or in another order: then some points may never be reached. */
function isGuess(medium: Medium, { disks = 1, isSideBySide = false }: Operation): boolean {
  return medium.isGuess === true || disks > 1 || isSideBySide;
}

/** What is read side by side may come in another order: a call with a number may be another one, which cannot have that fault. */
const MAX_TRIES = 5;

/** Tries one fault until it happens. @returns whether it did */
async function isReached({
  point,
  name,
  ...common
}: Omit<PointAttempt, 'faults'> & { readonly point: FaultPoint; readonly name: string }): Promise<boolean> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const faults = new Faults(point);
    try {
      await tryPoint({ ...common, faults });
    } catch (error) {
      throw new Error(`GANTRY_FAULT_ONLY='${name}' (${faults.hit ?? 'it was not reached'})`, { cause: error });
    }
    if (faults.hit !== undefined) return true;
  }
  return false;
}

interface PointAttempt {
  readonly operation: Operation;
  readonly world: World;
  readonly places: Places;
  readonly faults: Faults;
}

async function tryPoint({ operation, world, places, faults }: PointAttempt): Promise<void> {
  const before = await contentsOf(places);
  await using attempt = await attemptIt(operation, world, places, faults);
  expectAnswer(attempt.failure, faults.point);
  expect(faults.withoutSignal, 'calls that cannot be cancelled').toEqual([]);
  const isFull = attempt.failure instanceof GantryError && attempt.failure.code === 'STORE_FULL';
  const after = await expectNothingLost(world, before, attempt.places, operation, { isFull });
  // What could not be removed, or was not after a kill, the next command names and clears.
  const stateDirectory = world.bench.directory.file(STATE);
  for (const place of attempt.places) await endProcesses(place);
  for (const place of attempt.places) await expectCleared(place, stateDirectory);
  expect(await readdir(`${stateDirectory}/runs`), 'journals').toEqual([]);
  expect((await operation.left?.(world)) ?? [], 'what is left outside of the stores').toEqual([]);
  const cleared = await expectNothingLost(world, before, attempt.places, operation, { checked: after, isFull });
  expect(await digestsOf(pathsOf(world.bench)), 'the disks').toEqual(world.now);
  await using again = await attemptIt(operation, world, attempt.places, new Faults(), stateDirectory);
  const mayBeDone = operation.once === true && again.failure instanceof GantryError && again.failure.code === 'EXPORT_NOT_FOUND';
  if (!mayBeDone) expect(again.failure, 'the same operation again').toBeUndefined();
  await expectNothingLost(world, before, again.places, operation, { checked: cleared, isFull });
}

const STATE = 'state of one attempt';

/** How an operation may end that met a fault. */
function expectAnswer(failure: unknown, point: FaultPoint | undefined): void {
  if (point?.kind === 'answer is late') expect(failure, 'with a late answer').toBeUndefined();
  if (failure === undefined || failure instanceof Killed || failure === CANCELLED) return;
  expect(failure).toBeInstanceOf(GantryError);
  expect(failure).not.toHaveProperty('code', 'INTERNAL');
}

async function attemptIt({ run }: Operation, world: World, from: Places, faults: Faults, stateDirectory?: string): Promise<Attempt> {
  await using scope = new AsyncDisposableStack();
  const places: Places = [scope.use(await from[0].copy()), scope.use(await from[1].copy())];
  const state = stateDirectory ?? (await copyState(world, STATE));
  const failure = await withParts(world, places, state, faults, (parts) => failureOf(run(parts)));
  // What an operation no longer waits for is closed a moment later.
  await expect.poll(() => faults.open, { message: 'what is left open' }).toEqual([]);
  const owned = scope.move();
  return { places, failure, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Opens the stores of one process, until `work` is over. */
async function withParts<T>(
  world: World,
  places: Places,
  stateDirectory: string,
  faults: Faults,
  work: (parts: Parts) => Promise<T>,
): Promise<T> {
  await using store = await places[0].openFaulted(faults);
  await using other = await places[1].openFaulted(faults);
  const [first, second, third, fourth] = world.disks.keys();
  if (first === undefined || second === undefined || third === undefined || fourth === undefined) throw new TypeError('four exports');
  const references = [first, second, third, fourth] as const;
  return await work({ world, store: opened(store), other: opened(other), references, stateDirectory, faults, signal: faults.signal });
}

/** The world's places as the operation needs them. */
async function prepared({ prepare }: Operation, world: World): Promise<AsyncDisposable & { readonly places: Places }> {
  await using scope = new AsyncDisposableStack();
  const places: Places = [scope.use(await world.places[0].copy()), scope.use(await world.places[1].copy())];
  const state = await copyState(world, 'state of the preparation');
  await withParts(world, places, state, new Faults(), async (parts) => prepare?.(parts, places));
  await rm(state, { recursive: true });
  const owned = scope.move();
  return { places, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface FaultGroup {
  /** What the tests show. */
  readonly title: string;
  /** Of the medium. */
  readonly name: string;
  readonly makeMedium: () => Medium | Promise<Medium>;
  readonly operations: readonly Operation[];
  /** Of the OS definition; `raw` where absent. */
  readonly scripts?: OperationBenchOptions['scripts'];
}

/** A test for each operation, with stores of a medium that is made for them. */
export function describeFaults({ title, name, makeMedium, operations, scripts }: FaultGroup): void {
  describe.each([1, 3])(`faults of ${name}, of an instance with %i disks`, (disks) => {
    const scope = new AsyncDisposableStack();
    let made: Promise<{ readonly medium: Medium; readonly world: World }> | undefined;
    const make = async (): Promise<{ readonly medium: Medium; readonly world: World }> => {
      const medium = scope.use(await makeMedium());
      return { medium, world: scope.use(await makeWorld(medium, disks, scripts)) };
    };
    afterAll(() => scope.disposeAsync());

    const chosen = operations.filter((operation) => (operation.disks ?? 1) === disks && !isPassedOver(`${name}:${operation.name}`));
    test.runIf(chosen.length > 0).each(chosen)(`$name: ${title}`, async (operation) => {
      const { medium, world } = await (made ??= make());
      await tryPoints(medium, operation, world);
    });
    test.runIf(chosen.length === 0)('are passed over this time', () => undefined);
  });
}
