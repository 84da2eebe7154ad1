import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import { openStore } from '@gantry/config';
import type { ExportRequest, Instance } from '@gantry/core';
import {
  cleanUp,
  copyFromStore,
  exportInstance,
  GantryError,
  identityUnsealer,
  importInstance,
  initializeStore,
  listExports,
  loadInstanceFile,
  pruneStore,
  removeExport,
  verifyExport,
  withUnsealer,
} from '@gantry/core';
import type { Store } from '@gantry/transport';
import { countOf, makeRandomFile, processTree } from '@gantry/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { Dice, median } from './dice.ts';
import type { Workbench } from './workbench.ts';
import { makeWorkbench } from './workbench.ts';

/* The core as a library: many operations in one process, some of which fail or are ended. scripts/soak.sh makes a thousand. */

const OPERATIONS = countOf('GANTRY_SOAK_OPERATIONS', 24);
const IS_LONG = OPERATIONS >= 500;
const SEED = Number(process.env['GANTRY_SOAK_SEED'] ?? (IS_LONG ? Date.now() % 1_000_000 : 4));

const DISK_BYTES = 256 * 1024;
const KEPT = 4;
const MIB = 1024 * 1024;
/** What may come of measuring, and of what the engine compiles and keeps: a leak of 10 KiB an operation is far above. */
const MAX_HEAP_GROWTH_MIB = 6;
const MAX_RSS_GROWTH_MIB = 64;

setFlagsFromString('--expose-gc');
const collectGarbage: unknown = runInNewContext('gc');

interface Figures {
  readonly heapMib: number;
  readonly rssMib: number;
  readonly descriptors: number;
  readonly children: number;
  readonly listeners: number;
  readonly resources: number;
}

const FIGURES: readonly (keyof Figures)[] = ['heapMib', 'rssMib', 'descriptors', 'children', 'listeners', 'resources'];

async function measure(): Promise<Figures> {
  // What is closed after an operation needs a turn.
  await new Promise(setImmediate);
  if (typeof collectGarbage === 'function') collectGarbage();
  const { heapUsed, rss, arrayBuffers } = process.memoryUsage();
  return {
    heapMib: (heapUsed + arrayBuffers) / MIB,
    rssMib: rss / MIB,
    descriptors: (await readdir('/proc/self/fd')).length,
    children: (await processTree(process.pid)).length,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    resources: process.getActiveResourcesInfo().length,
  };
}

interface World {
  readonly bench: Workbench;
  readonly dice: Dice;
  readonly store: Store;
  readonly other: Store;
  readonly here: Instance;
  /** Exported and imported by scripts. */
  readonly scripted: Instance;
  readonly broken: Instance;
  readonly there: Instance;
  readonly recipients: Recipients;
  /** Of the first disk, by the export: its SHA-256 then. */
  readonly digests: Map<string, string>;
}

type Act = (world: World, signal: AbortSignal, reference: string) => Promise<unknown>;

const common = ({ bench, store }: World, signal: AbortSignal) => ({
  store,
  signal,
  stateDirectory: bench.file('state'),
  osSearchPath: [bench.file('os')],
});

async function digestOf({ bench }: World, disk: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(bench.file(`${disk}.img`)))
    .digest('hex');
}

async function makeExport(world: World, request: ExportRequest): Promise<void> {
  const digest = await digestOf(world, 'a');
  const { reference } = await exportInstance(request);
  world.digests.set(reference, digest);
}

const ACTS: Readonly<Record<string, Act>> = {
  export: (world, signal) => makeExport(world, { ...common(world, signal), instance: world.here }),
  'export by a script': (world, signal) => makeExport(world, { ...common(world, signal), instance: world.scripted }),
  'incremental export': (world, signal) => makeExport(world, { ...common(world, signal), instance: world.here, incremental: true }),
  'sealed export': (world, signal) =>
    makeExport(world, { ...common(world, signal), instance: world.here, incremental: true, recipients: world.recipients }),
  'export whose script fails': async (world, signal) => {
    // Until a test ends, expect(…).rejects keeps the error, and with it the buffer of the script's pipe.
    const isRefused = await exportInstance({ ...common(world, signal), instance: world.broken }).then(
      () => false,
      () => true,
    );
    if (!isRefused) throw new Error('the export of a script that fails was made');
  },
  import: async (world, signal, reference) => {
    await importInstance({ ...common(world, signal), instance: world.there, export: reference, yes: true, allowOtherOs: true });
    // An export that was ended when it was complete already is not known.
    const digest = world.digests.get(reference);
    if (digest !== undefined) expect(await digestOf(world, 'x'), reference).toBe(digest);
  },
  verify: (world, signal, reference) => verifyExport({ ...common(world, signal), export: reference }),
  copy: ({ store, other }, signal, reference) => copyFromStore({ source: store, target: other, export: reference, signal }),
  remove: ({ store }, signal, reference) => removeExport(store, reference, { signal }),
  prune: async ({ store, other }, signal) => {
    for (const each of [store, other]) await pruneStore({ store: each, policy: { last: KEPT }, signal });
  },
};

async function referencesOf(store: Store): Promise<readonly string[]> {
  return (await Array.fromAsync(listExports(store))).map(({ reference }) => reference);
}

async function makeWorld(bench: Workbench, dice: Dice): Promise<World> {
  for (const disk of ['a', 'b', 'x', 'y']) await makeRandomFile(bench.file(`${disk}.img`), DISK_BYTES, disk);
  await bench.defineOs('broken', { export: 'head -c 70000 "$EXPORT_DEVICE"; exit 3', import: 'cat >"$IMPORT_DEVICE"' });
  await bench.defineOs('good', { export: 'cat "$EXPORT_DEVICE"', import: 'cat >"$IMPORT_DEVICE"' });
  const describe = async (disks: readonly string[], os: string): Promise<Instance> =>
    await loadInstanceFile(await bench.describeInstance('web1.example.com', { disks, os }));
  const identities = Identities.parse(await generateX25519Identity());
  const open = async (name: string): Promise<Store> => {
    const context = { signal: new AbortController().signal, env: {}, cwd: bench.path, warn: () => undefined };
    const store = await openStore(bench.file(name), context);
    await initializeStore(store);
    return withUnsealer(store, identityUnsealer(identities));
  };
  return {
    bench,
    dice,
    store: await open('exports'),
    other: await open('copies'),
    here: await describe(['a.img', 'b.img'], 'raw'),
    scripted: await describe(['a.img'], 'good'),
    broken: await describe(['a.img'], 'broken'),
    there: await describe(['x.img', 'y.img'], 'raw'),
    recipients: Recipients.of(await identities.recipients()),
    digests: new Map(),
  };
}

/** One operation. @param mayBeEnded at some moment @returns what became of it */
async function act(world: World, name: string, mayBeEnded: boolean): Promise<string> {
  const { dice, store } = world;
  const [first, ...rest] = await referencesOf(store);
  if (first === undefined && ['import', 'verify', 'copy', 'remove'].includes(name)) return 'left out';
  const reference = first === undefined ? '' : dice.pick([first, ...rest]);
  const stop = new AbortController();
  const timer = mayBeEnded && dice.roll() < 0.3 ? setTimeout(() => stop.abort(new Error('enough')), dice.roll() * 60) : undefined;
  try {
    await ACTS[name]?.(world, stop.signal, reference);
    return 'done';
  } catch (error) {
    if (error === stop.signal.reason) return 'ended';
    // An operation that is ended may say what it could not do: but nothing is damaged by that.
    if (stop.signal.aborted && error instanceof GantryError && !error.code.endsWith('_DAMAGED')) return 'ended';
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

test(
  'many operations in one process leave no memory, descriptors, processes, listeners or files behind',
  { timeout: 120_000 + OPERATIONS * 3000 },
  async () => {
    await using bench = await makeWorkbench();
    const warnings: string[] = [];
    const warned = (warning: Error): void => void warnings.push(String(warning));
    process.on('warning', warned);
    onTestFinished(() => void process.off('warning', warned));
    const world = await makeWorld(bench, new Dice(SEED));
    const counts: Record<string, number> = {};
    const samples: Figures[] = [];
    const names = Object.keys(ACTS);
    for (let done = 0; done < OPERATIONS; done += 1) {
      // Each of them at least once, to its end.
      const name = names[done] ?? world.dice.pick(['export', ...names, 'incremental export', 'sealed export', 'import']);
      const disk = bench.file('a.img');
      const bytes = await readFile(disk);
      bytes.fill(done % 251, 1000, 5000);
      await writeFile(disk, bytes);
      const outcome = await act(world, name, done >= names.length);
      counts[`${name} ${outcome}`] = (counts[`${name} ${outcome}`] ?? 0) + 1;
      if ((done + 1) % Math.ceil(OPERATIONS / 20) === 0) samples.push(await measure());
    }
    const of = (figure: keyof Figures, from: number, to: number): number =>
      median(samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to)).map((each) => each[figure]));
    const described = FIGURES.map((figure) => `${figure} ${of(figure, 0.2, 0.4).toFixed(1)} -> ${of(figure, 0.8, 1).toFixed(1)}`);
    console.log(`soak of the library, GANTRY_SOAK_SEED=${SEED}: ${JSON.stringify(counts)}; ${described.join(', ')}`);
    for (const figure of ['children', 'listeners'] as const) expect(of(figure, 0.8, 1), figure).toBeLessThanOrEqual(of(figure, 0.2, 0.4));
    if (IS_LONG) {
      // In a few operations, threads are still started that stay.
      for (const figure of ['descriptors', 'resources'] as const)
        expect(of(figure, 0.8, 1), figure).toBeLessThanOrEqual(of(figure, 0.2, 0.4));
      expect(of('heapMib', 0.8, 1) - of('heapMib', 0.2, 0.4)).toBeLessThan(MAX_HEAP_GROWTH_MIB);
      expect(of('rssMib', 0.8, 1) - of('rssMib', 0.2, 0.4)).toBeLessThan(MAX_RSS_GROWTH_MIB);
    }
    expect(warnings).toEqual([]);
    // Nothing was killed, so nothing needs clearing.
    for (const store of [world.store, world.other]) {
      expect(await cleanUp({ store, stateDirectory: bench.file('state') })).toEqual([]);
      for (const reference of await referencesOf(store)) await verifyExport({ store, export: reference });
    }
    expect(await bench.journal()).toEqual([]);
    expect(await readdir(bench.file('state', 'locks'))).toEqual([]);
  },
);
