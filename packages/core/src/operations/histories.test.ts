import type { Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Listing } from '../../test/histories.ts';
import { Killed, Stage, stagedStore } from '../../test/histories.ts';
import { readLineageExport, writeLineageExport } from '../../test/lineage-export.ts';
import { MANIFEST_FILE, REMOVED_FILE } from '../exports/layout.ts';
import { parseManifest } from '../exports/manifest.ts';
import { foreignPacks, packsInUse } from '../exports/pack-uses.ts';
import { removeExport } from '../exports/remove-export.ts';
import type { RetentionPolicy } from '../exports/retention.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import { GantryError } from '../report/errors.ts';
import { pruneStore } from './prune.ts';

/*
 * Random histories of a store with exports that share frames: exports, removals, prunes, imports at the same time, calls of the store in
 * any order, and kills between any two of them. `scripts/histories.sh` runs many more: GANTRY_HISTORY_STEPS says about how many calls.
 */

const STEPS = Number(process.env['GANTRY_HISTORY_STEPS'] ?? 10_000);
/** On average, or a few more. */
const CALLS_PER_HISTORY = 150;
const INSTANCES = ['db1', 'web1'];
const START = Date.UTC(2026, 0, 1);
const DAY_MS = 24 * 60 * 60_000;

/** One process. `of` chooses among what is there when it starts. */
type Act =
  | { readonly kind: 'export'; readonly instance: string; readonly of: number; readonly frames: readonly string[]; readonly clock: number }
  | { readonly kind: 'remove' | 'import'; readonly of: number }
  | { readonly kind: 'prune'; readonly policy: RetentionPolicy; readonly instance: string | undefined };

interface Round {
  readonly acts: readonly Act[];
  /** Which of them are killed, and after how many calls of the store by anybody. */
  readonly kills: readonly { readonly actor: number; readonly after: number }[];
  /** Which of them goes on, and for how many calls; over and over. */
  readonly picks: readonly { readonly actor: number; readonly calls: number }[];
}

interface History {
  readonly listing: Listing;
  /** In how many of 16 cases there is no space for another object. */
  readonly full: number;
  readonly rounds: readonly Round[];
}

const frame = fc.constantFrom('', 'a', 'bb', 'c', 'dd', 'e', 'ff', 'g');
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('export' as const),
      instance: fc.constantFrom(...INSTANCES),
      of: fc.nat(20),
      frames: fc.array(frame, { minLength: 1, maxLength: 4 }),
      clock: fc.integer({ min: -2, max: 9 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('remove' as const, 'import' as const), of: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('prune' as const),
      policy: fc.constantFrom<RetentionPolicy>({}, { last: 1 }, { last: 2 }, { daily: 2, monthly: 1 }),
      instance: fc.constantFrom(undefined, ...INSTANCES),
    }),
  },
);
const round: fc.Arbitrary<Round> = fc.record({
  acts: fc.array(act, { minLength: 1, maxLength: 5 }),
  kills: fc.array(fc.record({ actor: fc.nat(4), after: fc.nat(120) }), { maxLength: 2 }),
  picks: fc.array(fc.record({ actor: fc.nat(4), calls: fc.nat(60) }), { minLength: 1, maxLength: 40 }),
});
const history: fc.Arbitrary<History> = fc.record({
  listing: fc.constantFrom('keys', 'directories'),
  full: fc.constantFrom(0, 0, 0, 1, 8),
  rounds: fc.array(round, { minLength: 1, maxLength: 6 }),
});

class World {
  readonly memory = new Memory();
  readonly store = new MemoryStore(this.memory);
  readonly #history: History;
  /** What each export must give back, by its reference. */
  readonly #disks = new Map<string, readonly string[]>();
  #started = 0;
  #day = 0;
  #calls = 0;
  steps = 0;

  constructor(history: History) {
    this.#history = history;
  }

  async play({ acts, kills, picks }: Round): Promise<void> {
    const stage = new Stage();
    const errors: unknown[] = [];
    const first = this.#started;
    const before = this.exports();
    for (const act of acts) {
      const actor = this.#started;
      this.#started += 1;
      const store = stagedStore(this.memory, {
        stage,
        actor,
        listing: this.#history.listing,
        isFull: () => (this.#calls += 7) % 16 < this.#history.full,
        after: (call) => this.#check(call),
      });
      const failed = (error: unknown): void => {
        if (!isExpected(error)) errors.push(error);
      };
      stage.start(() => this.#perform(act, `run-${actor}`, store, before), failed);
    }
    let turn = 0;
    let left = picks[0]?.calls ?? 0;
    await stage.play((actors) => {
      for (const { actor, after } of kills) if (after === stage.steps && actor < acts.length) stage.kill(first + actor);
      if (left === 0) turn += 1;
      left = left === 0 ? (picks[turn % picks.length]?.calls ?? 0) : left - 1;
      const next = actors.indexOf(first + ((picks[turn % picks.length]?.actor ?? 0) % acts.length));
      return next === -1 ? stage.steps % actors.length : next;
    });
    this.steps += stage.steps;
    if (errors.length > 0) throw errors[0];
  }

  /** References of all complete exports. */
  exports(): readonly string[] {
    return [...this.memory.objects.keys()]
      .filter((key) => key.endsWith(`/${MANIFEST_FILE}`))
      .map((key) => key.split('/').slice(0, 2).join('@'));
  }

  /** Every complete export is what its disk was. */
  async expectAllEqual(): Promise<void> {
    for (const reference of this.exports()) {
      const disk = this.#disks.get(reference);
      if (disk !== undefined) expect(await readLineageExport(this.store, reference)).toEqual(disk);
    }
  }

  /** Clears what killed exports left, and finishes removals that a full store left in part. */
  async clean(): Promise<void> {
    for (const unfinished of await findUnfinished(this.store)) await clearUnfinished(this.store, { ...unfinished, owner: 'dead' });
    if (this.#history.full === 0) return;
    for (const place of new Set([...this.memory.objects.keys()].filter((key) => key.split('/').length === 3).map(directoryOf))) {
      if ([MANIFEST_FILE, REMOVED_FILE].some((file) => this.memory.objects.has(`${place}/${file}`))) continue;
      await removeExport(this.store, place.replace('/', '@'));
    }
  }

  /** What nothing refers to goes within two prunes. */
  async expectNothingUnreachable(): Promise<void> {
    await pruneStore({ store: this.store, policy: {} });
    await pruneStore({ store: this.store, policy: {} });
    const uses = packsInUse(this.#manifests(), []);
    for (const key of this.memory.objects.keys()) {
      const place = directoryOf(key);
      const [instance = '', exportId = ''] = place.split('/');
      if (place === key || this.memory.objects.has(`${place}/${MANIFEST_FILE}`)) continue;
      const name = key.slice(place.length + 1).replace(/\.unused$/, '');
      const isUsed = (name: string): boolean => uses.has({ instance, exportId, name });
      const inDirectory = [...this.memory.objects.keys()].filter((other) => directoryOf(other) === place);
      const expected = name === REMOVED_FILE ? inDirectory.some((other) => isUsed(other.slice(place.length + 1))) : isUsed(name);
      expect(expected, key).toBe(true);
    }
  }

  async #perform(act: Act, runId: string, store: Store, before: readonly string[]): Promise<void> {
    const chosen = act.kind === 'prune' ? undefined : before.at(-1 - act.of);
    if (act.kind === 'export') {
      this.#day += act.clock;
      const started = new Date(START + this.#day * DAY_MS);
      const { instance, frames } = act;
      const claimed = (reference: string): void => void this.#disks.set(reference, frames);
      await writeLineageExport(store, { instance, started, frames, parent: chosen, runId, claimed });
    } else if (act.kind === 'prune') {
      await pruneStore({ store, policy: act.policy, instance: act.instance });
    } else if (chosen !== undefined) {
      if (act.kind === 'remove') await removeExport(store, chosen);
      else expect(await readLineageExport(store, chosen)).toEqual(this.#disks.get(chosen));
    }
  }

  /** Nothing that a complete export needs goes, at no time. */
  #check(call: string): void {
    if (!call.startsWith('remove') && !call.endsWith(MANIFEST_FILE)) return;
    for (const manifest of this.#manifests())
      for (const { instance, exportId, name } of foreignPacks(manifest))
        if (!this.memory.objects.has(`${instance}/${exportId}/${name}`))
          throw new Error(`${instance}/${exportId}/${name}, which ${manifest.instance.name}@${manifest.exportId} needs, went by: ${call}`);
  }

  #manifests() {
    return [...this.memory.objects].flatMap(([key, { bytes }]) => (key.endsWith(`/${MANIFEST_FILE}`) ? [parse(bytes)] : []));
  }
}

const parsed = new WeakMap<Buffer, ReturnType<typeof parseManifest>>();

function parse(bytes: Buffer): ReturnType<typeof parseManifest> {
  const known = parsed.get(bytes) ?? parseManifest(bytes.toString(), 'it');
  parsed.set(bytes, known);
  return known;
}

function directoryOf(key: string): string {
  return key.split('/').slice(0, 2).join('/');
}

/** An export that was removed meanwhile, or a store that is full. */
function isExpected(error: unknown): boolean {
  if (error instanceof Killed || isStoreError(error, 'not-found') || isStoreError(error, 'full')) return true;
  return (
    error instanceof GantryError &&
    ['EXPORT_NOT_FOUND', 'EXPORT_INCOMPLETE', 'MAP_DAMAGED', 'STORE_NOT_FOUND', 'STORE_FULL'].includes(error.code)
  );
}

/** @returns how many calls there were */
async function live(history: History): Promise<number> {
  const world = new World(history);
  await initializeStore(world.store);
  for (const round of history.rounds) await world.play(round);
  await world.expectAllEqual();
  await world.clean();
  await world.expectNothingUnreachable();
  await world.expectAllEqual();
  return world.steps;
}

test(
  'exports, removals and prunes that run at the same time or are killed: complete exports stay complete, the rest goes within two prunes',
  async () => {
    let steps = 0;
    const property = fc.asyncProperty(history, async (history) => {
      steps += await live(history);
    });
    await fc.assert(property, { numRuns: Math.ceil(STEPS / CALLS_PER_HISTORY) });
    console.info(`${steps} calls of stores`);
  },
  30 * 60_000,
);
