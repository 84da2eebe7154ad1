import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { FAULT_KINDS, faultedStore, Faults } from '../../test/faulted-store.ts';
import { Killed } from '../../test/histories.ts';
import type { OperationBench } from '../../test/operation-bench.ts';
import { DISK_BYTES, makeOperationBench } from '../../test/operation-bench.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { MANIFEST_FILE } from '../exports/layout.ts';
import { openExport } from '../exports/open-export.ts';
import { readDump } from '../exports/read-dump.ts';
import { removeExport } from '../exports/remove-export.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { addKeys } from './add-keys.ts';
import { consolidateExport } from './consolidate.ts';
import { copyFromStore } from './copy.ts';
import { mirrorStore } from './mirror.ts';
import { pruneStore } from './prune.ts';
import { tagExport } from './tag.ts';
import { verifyStore } from './verify-store.ts';
import { verifyExport } from './verify.ts';

/*
 * Every operation, with every kind of fault at every call of its stores. GANTRY_FAULT_SHARE says which share of them is tried: one in
 * that many, others each time; `scripts/faults.sh` tries all. GANTRY_FAULT_ONLY replays one: `OPERATION:CALL:KIND`.
 */

const SHARE = Number(process.env['GANTRY_FAULT_SHARE'] ?? 150);
const ONLY = process.env['GANTRY_FAULT_ONLY']?.split(':');
const SEED = Math.floor(Math.random() * SHARE);

const identities = Identities.parse(await generateX25519Identity());
const recipients = Recipients.of(await identities.recipients());
const otherRecipients = await Identities.parse(await generateX25519Identity()).recipients();

/** Two stores, and what is in them. */
interface World {
  readonly memories: readonly [Memory, Memory];
  /** The SHA-256 of disk 0 of each export, by its reference. */
  readonly disks: Map<string, string>;
}

interface Parts {
  readonly bench: OperationBench;
  readonly store: Store;
  readonly other: Store;
  readonly references: readonly string[];
}

interface Operation {
  readonly name: string;
  /** Of the exports in the first store, oldest first: those that stay after any fault. All of them where absent. */
  readonly staying?: (references: readonly string[]) => readonly string[];
  readonly run: (parts: Parts) => Promise<unknown>;
}

const OPERATIONS: readonly Operation[] = [
  { name: 'export', run: ({ bench, store }) => bench.exportDisks({ store }) },
  { name: 'incremental export', run: ({ bench, store }) => bench.exportDisks({ store, incremental: true }) },
  {
    name: 'signed export',
    run: async ({ bench, store }) => bench.exportDisks({ store, incremental: true, signKey: await signKey(bench) }),
  },
  { name: 'sealed export', run: ({ bench, store }) => bench.exportDisks({ store, incremental: true, recipients }) },
  { name: 'export into two stores', run: ({ bench, store, other }) => bench.exportDisks({ store, alsoInto: [other], incremental: true }) },
  { name: 'import', run: ({ bench, store, references }) => importAway(bench, store, references.at(-1) ?? '') },
  { name: 'import of a sealed export', run: ({ bench, store, references }) => importAway(bench, store, references.at(-2) ?? '') },
  { name: 'copy', run: ({ store, other, references }) => copyFromStore({ source: store, target: other, export: references.at(-1) ?? '' }) },
  { name: 'mirror', run: ({ store, other }) => mirrorStore({ source: store, target: other }) },
  {
    name: 'consolidate',
    staying: (references) => references.slice(0, -1),
    run: ({ store, references }) => consolidateExport({ store, export: references.at(-1) ?? '' }),
  },
  { name: 'prune', staying: (references) => references.slice(-2), run: ({ store }) => pruneStore({ store, policy: { last: 2 } }) },
  {
    name: 'remove',
    staying: (references) => references.slice(1),
    run: ({ store, references }) => removeExport(store, references[0] ?? ''),
  },
  { name: 'tag', run: ({ store, references }) => tagExport({ store, export: references[0] ?? '', add: ['kept'] }) },
  {
    name: 'keys add',
    run: ({ store, references }) => addKeys({ store, exports: [references.at(-2) ?? ''], recipients: otherRecipients }),
  },
  { name: 'verify', run: ({ bench, store }) => verifyStore({ store, depth: 'frames', stateDirectory: bench.directory.file('state') }) },
];

/** Makes a key to sign with, once. */
async function signKey({ directory }: OperationBench): Promise<string> {
  const key = directory.file('key');
  if (!existsSync(key)) await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  return key;
}

function opened(store: Store): Store {
  return withUnsealer(store, identityUnsealer(identities));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function importAway(bench: OperationBench, store: Store, reference: string): Promise<void> {
  const path = bench.directory.file('target.img');
  await writeFile(path, Buffer.alloc(DISK_BYTES));
  await bench.importDisks(reference, { store, instance: { ...bench.instance, disks: [{ path, access: 'rw' }] }, yes: true });
  const { disk } = await readExport(opened(bench.store), reference);
  expect(sha256(await readFile(path)), 'an import that succeeds').toBe(disk);
}

async function readExport(store: Store, reference: string): Promise<{ readonly disk: string }> {
  const found = await openExport(store, reference);
  const hash = createHash('sha256');
  const { signal } = new AbortController();
  for (const dump of found.dumps.slice(0, 1))
    for await (const piece of readDump(found, dump, { budget: new MemoryBudget(64 * 1024 * 1024), signal, warn: () => {} }))
      hash.update(piece instanceof Uint8Array ? piece : Buffer.alloc(piece.zeros));
  return { disk: hash.digest('hex') };
}

/** A lineage of four exports in the first store, the third of which is sealed. */
async function makeWorld(bench: OperationBench, memory: Memory): Promise<World['disks']> {
  const path = bench.instance.disks[0]?.path ?? '';
  const disks = new Map<string, string>();
  for (const [day, sealed] of [false, false, true, false].entries()) {
    const bytes = await readFile(path);
    bytes.fill(day + 1, 100, 200);
    await writeFile(path, bytes);
    const store = new MemoryStore(memory);
    const { reference } = await bench.exportDisks({ store, incremental: true, ...(sealed ? { recipients } : {}) });
    disks.set(reference, sha256(bytes));
  }
  return disks;
}

function copyOf(memory: Memory): Memory {
  const copy = new Memory();
  for (const [key, object] of memory.objects) copy.objects.set(key, object);
  return copy;
}

function manifestsOf({ objects }: Pick<Memory, 'objects'>): readonly string[] {
  return [...objects.keys()].filter((key) => key.endsWith(`/${MANIFEST_FILE}`)).map((key) => key.split('/').slice(0, 2).join('@'));
}

/** What must hold after each fault, if the operation failed or not. */
async function expectNothingLost(before: World, after: World, bench: OperationBench, staying: Operation['staying']): Promise<void> {
  const source = await readFile(bench.instance.disks[0]?.path ?? '');
  for (const [side, memory] of after.memories.entries()) {
    const store = opened(new MemoryStore(memory));
    const { objects } = before.memories[side === 0 ? 0 : 1];
    const there = manifestsOf({ objects });
    const now = manifestsOf(memory);
    for (const reference of side === 0 && staying ? staying([...before.disks.keys()]) : there) expect(now, 'exports').toContain(reference);
    const isUntouched = [...objects].every(([key, object]) => memory.objects.get(key) === object);
    if (isUntouched && now.length === there.length) continue;
    const contents = new Set<string>();
    for (const reference of now) {
      const { disk } = isUntouched && there.includes(reference) ? known(before, reference) : await readSound(store, reference);
      expect(disk, reference).toBe(before.disks.get(reference) ?? sha256(source));
      contents.add(disk);
    }
    // Also where another export took its place.
    const newest = there.at(-1);
    if (newest !== undefined) expect(contents, 'what the newest export holds').toContain(known(before, newest).disk);
  }
}

function known({ disks }: World, reference: string): { readonly disk: string } {
  return { disk: disks.get(reference) ?? '' };
}

async function readSound(store: Store, reference: string): Promise<{ readonly disk: string }> {
  await verifyExport({ store, export: reference, depth: 'frames' });
  return await readExport(store, reference);
}

/** Clears what is left of a process that is dead. */
async function clear(memory: Memory): Promise<void> {
  const store = new MemoryStore(memory);
  for (const unfinished of await findUnfinished(store)) await clearUnfinished(store, { ...unfinished, owner: 'unknown' });
}

describe.each(OPERATIONS)('faults at the stores of: $name', ({ name, run, staying }) => {
  const isSkipped = ONLY !== undefined && ONLY[0] !== name;
  test.skipIf(isSkipped)('leave every complete export as it was, and nothing that the next command does not clear', async () => {
    await using bench = await makeOperationBench({ disks: 1 });
    const base = new Memory();
    await initializeStore(new MemoryStore(base));
    const disks = await makeWorld(bench, base);
    const otherBase = new Memory();
    await initializeStore(new MemoryStore(otherBase));
    const original = await readFile(bench.instance.disks[0]?.path ?? '');

    const attempt = async (faults: Faults): Promise<{ readonly world: World; readonly failure: unknown }> => {
      const world: World = { memories: [copyOf(base), copyOf(otherBase)], disks: new Map(disks) };
      const stores = world.memories.map((memory) => new MemoryStore(memory));
      const [store, other] = stores.map((each) => opened(faultedStore(each, faults)));
      if (store === undefined || other === undefined) throw new TypeError('there are two stores');
      const parts: Parts = { bench: { ...bench, store: new MemoryStore(base) }, store, other, references: [...disks.keys()] };
      const failure = await run(parts).then(
        () => undefined,
        (error: unknown) => error,
      );
      for (const each of stores) await each[Symbol.asyncDispose]();
      return { world, failure };
    };

    const counted = new Faults();
    const { failure } = await attempt(counted);
    expect(failure).toBeUndefined();
    const points = Array.from({ length: counted.calls }, (_, index) => index + 1).flatMap((call) =>
      FAULT_KINDS.map((kind) => ({ call, kind })),
    );
    const chosen =
      ONLY === undefined
        ? points.filter((_, index) => index % SHARE === SEED)
        : points.filter(({ call, kind }) => call === Number(ONLY[1]) && kind === ONLY[2]);
    for (const point of chosen) {
      const faults = new Faults(point);
      const where = (): string => `GANTRY_FAULT_ONLY='${name}:${point.call}:${point.kind}' (${faults.hit})`;
      try {
        const { world, failure } = await attempt(faults);
        if (failure !== undefined && !(failure instanceof Killed)) expect(failure).toHaveProperty('code');
        await expectNothingLost({ memories: [base, otherBase], disks }, world, bench, staying);
        // What could not be removed, or was not after a kill, the next command names and clears.
        for (const memory of world.memories) {
          await clear(memory);
          expect(await findUnfinished(new MemoryStore(memory)), 'unfinished').toEqual([]);
        }
        await expectNothingLost({ memories: [base, otherBase], disks }, world, bench, staying);
        expect((await readFile(bench.instance.disks[0]?.path ?? '')).equals(original), 'the source').toBe(true);
      } catch (error) {
        throw new Error(where(), { cause: error });
      }
    }
    console.log(`${name}: ${counted.calls} calls of stores, ${chosen.length} of ${points.length} faults tried`);
  });
});
