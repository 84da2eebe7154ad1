import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { countOf } from '@gantry/testkit';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Listing } from '../../test/histories.ts';
import { Killed, Stage, stagedStore } from '../../test/histories.ts';
import { diskOf, exportBySink, readSinkExport } from '../../test/sink-export.ts';
import { objectsOfOthers, ownObjects } from '../exports/export-objects.ts';
import { BROUGHT_PART_FILE, CLAIM_FILE, isUnusedMark, MANIFEST_FILE, REMOVED_FILE, SEALED_PART_FILE } from '../exports/layout.ts';
import type { Manifest } from '../exports/manifest.ts';
import { parseManifest } from '../exports/manifest.ts';
import { packsInUse } from '../exports/pack-uses.ts';
import { removeExport } from '../exports/remove-export.ts';
import type { RetentionPolicy } from '../exports/retention.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import { GantryError } from '../report/errors.ts';
import { copyFromStore } from './copy.ts';
import { pruneStore } from './prune.ts';

/*
 * Random histories of two stores with exports that share frames, sealed ones and others: exports, removals, prunes, cleans, copies and imports at the same time,
 * calls of the stores in any order, and kills between any two of them. `scripts/histories.sh` runs many more: GANTRY_HISTORY_STEPS says
 * about how many calls, GANTRY_HISTORY_SEED which (a failure names it).
 */

const { GANTRY_HISTORY_STEPS, GANTRY_HISTORY_SEED } = process.env;
const STEPS = countOf('GANTRY_HISTORY_STEPS', 7_840);
/** The same each time by default: what is new is looked for by the script. */
const SEED =
  GANTRY_HISTORY_SEED !== undefined ? { seed: Number(GANTRY_HISTORY_SEED) } : GANTRY_HISTORY_STEPS === undefined ? { seed: 1 } : {};
/** Many calls take a long time where other programs use the processors. */
const MAX_MS = GANTRY_HISTORY_STEPS === undefined ? 30 * 60_000 : 12 * 60 * 60_000;
/** On average, or a few less. */
const CALLS_PER_HISTORY = 140;
const INSTANCES = ['db1', 'web1'];
const START = Date.UTC(2026, 0, 1);
const DAY_MS = 24 * 60 * 60_000;

const identities = Identities.parse(await generateX25519Identity());
const recipients = Recipients.of(await identities.recipients());

/** Knows no keys yet: the stores of all histories have one address. */
function opened(store: Store): Store {
  return withUnsealer(store, identityUnsealer(identities));
}

/** Exports are made in the first store, and copied to the second and back. */
type SideName = 'main' | 'shelf';

/** One process. `of` chooses among what is there when it starts. */
type Act =
  | {
      readonly kind: 'export';
      readonly instance: string;
      readonly of: number;
      readonly frames: readonly string[];
      readonly clock: number;
      /** Whether it may remove objects. */
      readonly addsOnly: boolean;
      readonly isSealed: boolean;
    }
  | { readonly kind: 'remove' | 'import' | 'copy'; readonly side: SideName; readonly of: number }
  | { readonly kind: 'prune'; readonly side: SideName; readonly policy: RetentionPolicy; readonly instance: string | undefined }
  /** `force`: what a process that runs is writing, too, as `gantry clean --export` does. */
  | { readonly kind: 'clean'; readonly side: SideName; readonly force: boolean };

interface Round {
  readonly acts: readonly Act[];
  /** Which of them are killed, and after how many calls of the stores by anybody. */
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
const side = fc.constantFrom<SideName>('main', 'main', 'main', 'shelf');
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('export' as const),
      instance: fc.constantFrom(...INSTANCES),
      of: fc.nat(20),
      frames: fc.array(frame, { minLength: 1, maxLength: 4 }),
      clock: fc.integer({ min: -2, max: 9 }),
      addsOnly: fc.constantFrom(false, false, false, true),
      isSealed: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('remove' as const, 'import' as const), side, of: fc.nat(3) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('copy' as const), side: fc.constantFrom<SideName>('main', 'shelf'), of: fc.nat(3) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('prune' as const),
      side,
      policy: fc.constantFrom<RetentionPolicy>({}, { last: 1 }, { last: 2 }, { daily: 2, monthly: 1 }),
      instance: fc.constantFrom(undefined, ...INSTANCES),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('clean' as const), side, force: fc.constantFrom(false, false, true) }) },
);
const round: fc.Arbitrary<Round> = fc.record({
  acts: fc.array(act, { minLength: 1, maxLength: 5 }),
  kills: fc.array(fc.record({ actor: fc.nat(4), after: fc.nat(160) }), { maxLength: 2 }),
  picks: fc.array(fc.record({ actor: fc.nat(4), calls: fc.nat(60) }), { minLength: 1, maxLength: 40 }),
});
const history: fc.Arbitrary<History> = fc.record({
  listing: fc.constantFrom('keys', 'directories'),
  full: fc.constantFrom(0, 0, 0, 1, 8),
  rounds: fc.array(round, { minLength: 1, maxLength: 6 }),
});

/** One of the stores. */
class Side {
  readonly memory = new Memory();
  readonly store = new MemoryStore(this.memory);
  /** Which process wrote the claim with this key last. */
  readonly #claims = new Map<string, number>();
  /** Which process wrote each object last. */
  readonly #writers = new Map<string, number>();
  /** Directories whose claim somebody took away. */
  readonly #unclaimed = new Set<string>();
  /** Directories whose claim was written again after that. */
  readonly reclaimed = new Set<string>();
  /** Manifests that were written after a forced clean had taken the claim: who wrote them takes them back. */
  readonly #tooLate = new Map<string, number>();
  #clock = START;

  /** References of all complete exports. */
  exports(): readonly string[] {
    return this.#manifestKeys().map((key) => key.split('/').slice(0, 2).join('@'));
  }

  manifests(): readonly Manifest[] {
    return this.#manifestsOf(() => true);
  }

  /** To be called after each call of a process. Nothing that a complete export needs goes, at no time. */
  after(actor: number, call: string): void {
    const [what, ...keys] = call.split(' ');
    const [key = ''] = keys;
    if (what === 'commit') this.#wasWritten(actor, key);
    if (what === 'remove') for (const gone of keys) if (gone.endsWith(`/${CLAIM_FILE}`)) this.#unclaimed.add(directoryOf(gone));
    if (what === 'commit' && key.endsWith(`/${MANIFEST_FILE}`) && !this.memory.objects.has(`${directoryOf(key)}/${CLAIM_FILE}`))
      this.#tooLate.set(key, actor);
    for (const late of this.#tooLate.keys()) if (!this.memory.objects.has(late)) this.#tooLate.delete(late);
    if (what !== 'remove' && !(what === 'commit' && key.endsWith(MANIFEST_FILE))) return;
    for (const manifest of this.#manifestsOf((key) => !this.#tooLate.has(key)))
      for (const object of [...ownObjects(manifest), ...objectsOfOthers(manifest)])
        if (this.memory.objects.get(object.key)?.bytes.length !== object.size)
          throw new Error(`${object.key}, which ${manifest.instance.name}@${manifest.exportId} needs, went by: ${call}`);
  }

  /**
   * Nothing goes on any more: what came too late was taken back. One that was killed before it could, or may not remove anything, leaves a
   * damaged export, which is removed.
   *
   * @param couldNot whether a process was kept from taking it back
   */
  async expectTakenBack(couldNot: (actor: number) => boolean): Promise<void> {
    for (const [key, actor] of this.#tooLate) {
      expect(couldNot(actor), `${key} is still there`).toBe(true);
      await removeExport(this.store, directoryOf(key).replace('/', '@'));
    }
    this.#tooLate.clear();
  }

  /**
   * Nothing goes on any more: where a claim was taken away from an export that was not complete, who wrote it has removed what was left, or
   * has claimed it again. Of one that could do neither, the rest is listed as damaged, and removed.
   *
   * @param couldNot whether a process was kept from both
   */
  async expectClaimed(couldNot: (actor: number) => boolean): Promise<void> {
    for (const place of this.#placesWithoutSign()) {
      expect(this.#unclaimed.has(place), `${place} has lost its claim`).toBe(true);
      for (const [key, writer] of this.#writers)
        if (directoryOf(key) === place && this.memory.objects.has(key)) expect(couldNot(writer), `${key} is still there`).toBe(true);
      await removeExport(this.store, place.replace('/', '@'));
    }
  }

  /** From now on, the claims of this process are those of one that has ended. */
  bury(actor: number): void {
    for (const [key, owner] of this.#claims) {
      const claim = this.memory.objects.get(key);
      if (owner !== actor || claim === undefined) continue;
      this.memory.objects.set(key, { ...claim, bytes: Buffer.from(claim.bytes.toString().replace(/"startTime": \d+/, '"startTime": 1')) });
    }
  }

  /** Clears what processes that have ended left, and finishes removals that a full store left in part. */
  async clean(wasFull: boolean): Promise<void> {
    await cleanStore(this.store, false);
    if (!wasFull) return;
    for (const place of this.#placesWithoutSign()) await removeExport(this.store, place.replace('/', '@'));
  }

  /** Directories of exports in which nothing says what became of them. */
  #placesWithoutSign(): readonly string[] {
    const places = new Map<string, string[]>();
    for (const key of this.memory.objects.keys())
      if (key.split('/').length === 3) places.set(directoryOf(key), [...(places.get(directoryOf(key)) ?? []), key]);
    const isSign = (key: string): boolean =>
      isUnusedMark(key) || [MANIFEST_FILE, CLAIM_FILE, REMOVED_FILE].some((file) => key.endsWith(`/${file}`));
    return [...places].flatMap(([place, keys]) => (keys.some(isSign) ? [] : [place]));
  }

  /** What nothing refers to goes within two prunes. */
  async expectNothingUnreachable(): Promise<void> {
    await pruneStore({ store: this.store, policy: {} });
    await pruneStore({ store: this.store, policy: {} });
    const uses = packsInUse(this.manifests(), []);
    for (const key of this.memory.objects.keys()) {
      const place = directoryOf(key);
      const [instance = '', exportId = ''] = place.split('/');
      if (place === key || this.memory.objects.has(`${place}/${MANIFEST_FILE}`)) continue;
      const name = key.slice(place.length + 1).replace(/\.unused$/, '');
      const isUsed = (name: string): boolean => uses.has({ instance, exportId, name });
      const inDirectory = [...this.memory.objects.keys()].filter((other) => directoryOf(other) === place);
      const expected = [REMOVED_FILE, SEALED_PART_FILE, BROUGHT_PART_FILE].includes(name)
        ? inDirectory.some((other) => isUsed(other.slice(place.length + 1)))
        : isUsed(name);
      expect(expected, key).toBe(true);
    }
  }

  #manifestsOf(isChosen: (key: string) => boolean): readonly Manifest[] {
    return this.#manifestKeys().flatMap((key) => {
      const bytes = this.memory.objects.get(key)?.bytes;
      return bytes === undefined || !isChosen(key) ? [] : [parse(bytes)];
    });
  }

  #manifestKeys(): readonly string[] {
    return [...this.memory.objects.keys()].filter((key) => key.endsWith(`/${MANIFEST_FILE}`));
  }

  #wasWritten(actor: number, key: string): void {
    this.#writers.set(key, actor);
    if (key.endsWith(`/${CLAIM_FILE}`)) {
      if (this.#unclaimed.has(directoryOf(key)) && this.#claims.get(key) === actor) this.reclaimed.add(directoryOf(key));
      this.#claims.set(key, actor);
    }
    const object = this.memory.objects.get(key);
    this.#clock += 1000;
    if (object !== undefined) this.memory.objects.set(key, { ...object, modified: new Date(this.#clock) });
  }
}

class World {
  readonly sides: Readonly<Record<SideName, Side>> = { main: new Side(), shelf: new Side() };
  readonly #history: History;
  /** What each export must give back, by its note, which its copies have too. */
  readonly #disks = new Map<string, Buffer>();
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
    const before = { main: this.sides.main.exports(), shelf: this.sides.shelf.exports() };
    for (const act of acts) {
      const actor = this.#started;
      this.#started += 1;
      const failed = (error: unknown): void => {
        if (!isExpected(error)) errors.push(error);
      };
      const work = async (): Promise<void> => {
        try {
          await this.#perform(act, { name: `run-${actor}`, before, storeOf: (side) => this.#storeOf(side, { stage, actor, act, errors }) });
        } finally {
          this.#bury(actor);
        }
      };
      stage.start(actor, work, failed);
    }
    let turn = 0;
    let left = picks[0]?.calls ?? 0;
    await stage.play((actors) => {
      for (const { actor, after } of kills) {
        if (after !== stage.steps || actor >= acts.length) continue;
        stage.kill(first + actor);
        this.#bury(first + actor);
      }
      if (left === 0) turn += 1;
      left = left === 0 ? (picks[turn % picks.length]?.calls ?? 0) : left - 1;
      const next = actors.indexOf(first + ((picks[turn % picks.length]?.actor ?? 0) % acts.length));
      return next === -1 ? stage.steps % actors.length : next;
    });
    this.steps += stage.steps;
    if (errors.length > 0) throw errors[0];
    const couldNot = (actor: number): boolean => {
      const act = acts[actor - first];
      return stage.wasKilled(actor) || (act?.kind === 'export' && act.addsOnly);
    };
    const hasEnded = (actor: number): boolean => actor < first || stage.wasKilled(actor);
    for (const side of Object.values(this.sides)) {
      await side.expectTakenBack(couldNot);
      // A full store has no space for another claim, nor to note of an export that it was removed.
      if (this.#history.full === 0) await side.expectClaimed(hasEnded);
    }
  }

  /** Every complete export is what its disk was. */
  async expectAllEqual(): Promise<void> {
    for (const { store, exports } of this.#everywhere()) for (const reference of exports) await this.#expectEqual(store, reference);
  }

  /** What is left in the end. */
  async settle(): Promise<void> {
    for (const side of Object.values(this.sides)) {
      await side.clean(this.#history.full > 0);
      await side.expectNothingUnreachable();
    }
  }

  #everywhere() {
    return Object.values(this.sides).map((side) => ({ store: side.store, exports: side.exports() }));
  }

  #storeOf(
    name: SideName,
    { stage, actor, act, errors }: { readonly stage: Stage; readonly actor: number; readonly act: Act; readonly errors: unknown[] },
  ): Store {
    const side = this.sides[name];
    return stagedStore(side.memory, {
      stage,
      actor,
      listing: this.#history.listing,
      isFull: () => (this.#calls += 7) % 16 < this.#history.full,
      isDenied: (call) => act.kind === 'export' && act.addsOnly && call.startsWith('remove'),
      after: (call) => {
        try {
          side.after(actor, call);
        } catch (error) {
          // The caller may take it for an error of the store.
          errors.push(error);
        }
      },
    });
  }

  #bury(actor: number): void {
    for (const side of Object.values(this.sides)) side.bury(actor);
  }

  async #expectEqual(store: Store, reference: string): Promise<void> {
    const { disk, note } = await readSinkExport(opened(store), reference);
    expect(disk, reference).toEqual(this.#disks.get(note));
  }

  async #perform(act: Act, { name, before, storeOf }: Performing): Promise<void> {
    const store = storeOf(act.kind === 'export' ? 'main' : act.side);
    switch (act.kind) {
      case 'export': {
        this.#day += act.clock;
        const { instance, frames, isSealed } = act;
        this.#disks.set(name, diskOf(frames));
        const started = new Date(START + this.#day * DAY_MS);
        const parent = before.main.at(-1 - act.of);
        const sealed = isSealed ? { recipients } : {};
        await exportBySink(opened(store), { instance, started, frames, parent, ...sealed, runId: name, note: name });
        return;
      }
      case 'prune':
        await pruneStore({ store, policy: act.policy, instances: act.instance === undefined ? undefined : [act.instance] });
        return;
      case 'clean':
        await cleanStore(store, act.force);
        return;
      case 'remove':
      case 'import':
      case 'copy':
      default: {
        const chosen = before[act.side].at(-1 - act.of);
        if (chosen === undefined) return;
        if (act.kind === 'remove') await removeExport(store, chosen);
        else if (act.kind === 'import') await this.#expectEqual(store, chosen);
        else await copyFromStore({ source: store, export: chosen, target: storeOf(act.side === 'main' ? 'shelf' : 'main') });
      }
    }
  }
}

interface Performing {
  readonly name: string;
  /** References of the exports that were there when the round began. */
  readonly before: Readonly<Record<SideName, readonly string[]>>;
  readonly storeOf: (side: SideName) => Store;
}

/** As `gantry clean` does; with `force`, as one that is asked to remove what a process elsewhere may be writing. */
async function cleanStore(store: Store, force: boolean): Promise<void> {
  for (const unfinished of await findUnfinished(store)) {
    if (unfinished.owner !== 'dead' && !force) continue;
    await clearUnfinished(store, unfinished.owner === 'dead' ? unfinished : { ...unfinished, owner: 'unknown' });
  }
}

const parsed = new WeakMap<Buffer, Manifest>();

function parse(bytes: Buffer): Manifest {
  const known = parsed.get(bytes) ?? parseManifest(bytes.toString(), 'it');
  parsed.set(bytes, known);
  return known;
}

function directoryOf(key: string): string {
  return key.split('/').slice(0, 2).join('/');
}

/** It was removed meanwhile. */
const GONE = [
  'EXPORT_NOT_FOUND',
  'EXPORT_INCOMPLETE',
  'MAP_DAMAGED',
  'DUMP_MISSING',
  'PACK_MISSING',
  'MANIFEST_DAMAGED',
  'STORE_NOT_FOUND',
];
/** Another export has the place, or another process is at work there, or was asked to clear it. */
const TAKEN = ['EXPORT_EXISTS', 'BUSY', 'STORE_FAILED'];
const EXPECTED_ERRORS: ReadonlySet<string> = new Set([...GONE, ...TAKEN, 'STORE_FULL', 'STORE_DENIED']);

function isExpected(error: unknown): boolean {
  if (error instanceof Killed) return true;
  if (isStoreError(error)) return ['not-found', 'full', 'denied', 'integrity'].includes(error.code);
  return error instanceof GantryError && (EXPECTED_ERRORS.has(error.code) || error.cause instanceof Killed);
}

async function live(history: History): Promise<World> {
  const world = new World(history);
  for (const { store } of Object.values(world.sides)) await initializeStore(store);
  for (const round of history.rounds) await world.play(round);
  await world.expectAllEqual();
  await world.settle();
  await world.expectAllEqual();
  return world;
}

test(
  'exports, copies, removals, prunes and cleans at the same time, some killed: complete exports stay complete, the rest goes in two prunes',
  async () => {
    let steps = 0;
    const property = fc.asyncProperty(history, async (history) => {
      steps += (await live(history)).steps;
    });
    await fc.assert(property, { ...SEED, numRuns: Math.ceil(STEPS / CALLS_PER_HISTORY) });
    console.info(`${steps} calls of stores`);
  },
  MAX_MS,
);

const alone = (act: Act): Round => ({ acts: [act], kills: [], picks: [{ actor: 0, calls: 0 }] });

test('what an export could not remove, whose claim was cleared meanwhile, goes with the next clean', async () => {
  const acts: readonly Act[] = [
    { kind: 'clean', side: 'main', force: true },
    { kind: 'export', instance: 'db1', of: 0, frames: [''], clock: 0, addsOnly: true, isSealed: false },
    { kind: 'remove', side: 'main', of: 0 },
  ];
  const picks = [
    { actor: 1, calls: 5 },
    { actor: 2, calls: 14 },
  ];
  const prune: Act = { kind: 'prune', side: 'main', policy: {}, instance: undefined };
  const { sides } = await live({ listing: 'keys', full: 0, rounds: [{ acts, kills: [], picks }, alone(prune)] });
  // Calls of the operations that become more or fewer ask for other picks.
  expect(sides.main.reclaimed.size).toBe(1);
});

const EXPORT = { kind: 'export', instance: 'web1', of: 0, clock: 1 } as const;

test.each<[string, readonly Act[]]>([
  ['removed', [{ kind: 'remove', side: 'main', of: 1 }]],
  ['pruned', [{ kind: 'prune', side: 'main', policy: { last: 1 }, instance: undefined }]],
])('a claim that stayed beside an export, which is %s later, does not take its packs along', async (_how, removal) => {
  const cleans = [false, true].map((force): Act => ({ kind: 'clean', side: 'main', force }));
  for (const clean of cleans) {
    const rounds = [
      { ...EXPORT, frames: ['a', 'bb'], addsOnly: true, isSealed: false },
      { ...EXPORT, frames: ['a', 'c'], addsOnly: false, isSealed: false },
      ...removal,
      clean,
    ].map(alone);
    await live({ listing: 'keys', full: 0, rounds });
  }
});
