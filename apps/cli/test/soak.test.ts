import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import type { TemporaryDirectory } from '@gantry/testkit';
import { ALL_VARIANTS, countOf, makeRandomFile, makeTemporaryDirectory, processesWithVariable } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { Dice, median } from './dice.ts';
import type { End, SoakPlace } from './soak-places.ts';
import { bucketPlace, directoryPlace } from './soak-places.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { filesBelow, jsonLines, lastLine, makeWorkbench } from './workbench.ts';

/*
 * Exports, imports, prunes and removals of one store in a row, through the command, with random faults: killed (-9), no space, the store is
 * away. What is said to be done stays; at the end nothing is left. Many more, and in a bucket too: scripts/soak.sh
 */

const RUNS = countOf('GANTRY_SOAK_RUNS', 6);
/** More than the tests make: in a bucket too, and with memory and the state directory compared. */
const IS_SOAK = process.env['GANTRY_SOAK_RUNS'] !== undefined;
const SEED = Number(process.env['GANTRY_SOAK_SEED'] ?? (IS_SOAK ? Date.now() % 1_000_000 : 4));
/** How many runs come between two looks at everything. */
const RUNS_BETWEEN_CHECKS = 25;
/** When the state directory is looked at for the first time. */
const EARLY_RUN = Math.min(RUNS_BETWEEN_CHECKS * 2, Math.ceil(RUNS / 2));

const MIB = 1024 * 1024;
const DISK_BYTES = 1.5 * MIB;
const NAME = 'web1.example.com';
const KEPT_BY_PRUNE = 3;
/** With the command, its libraries and the frames of small disks; 110 to 170 were measured. */
const MAX_RSS_MIB = 300;

const OPERATIONS = ['export', 'export', 'export', 'incremental', 'incremental', 'import', 'import', 'prune', 'remove'] as const;
type Operation = (typeof OPERATIONS)[number];
const FAULTS = ['none', 'none', 'killed', 'killed', 'full', 'away'] as const;
type Fault = (typeof FAULTS)[number];

/** Loaded into each command: at its end, it writes down its peak of memory and what it has open. */
const FIGURES = `import { appendFileSync, readdirSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
if (isMainThread) process.on('exit', () => {
  const figures = { mib: process.resourceUsage().maxRSS / 1024, descriptors: readdirSync('/proc/self/fd').length };
  appendFileSync(process.env.SOAK_FIGURES, JSON.stringify(figures) + '\\n');
});
`;

interface Soak {
  readonly bench: Workbench;
  /** Has the figures of the commands, and their directory for temporary files. */
  readonly scratch: TemporaryDirectory;
  readonly place: SoakPlace;
  readonly dice: Dice;
  /** Exports that a command said are made, and that none may have removed since: with the digest of both disks. */
  readonly kept: Map<string, string>;
  /** About how long an operation takes, ms. */
  readonly usualMs: Map<Operation, number>;
  readonly count: (what: string) => void;
}

async function digestOf(bench: Workbench, disks: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const disk of disks) hash.update(await readFile(bench.file(`${disk}.img`)));
  return hash.digest('hex');
}

/** Writes something else to a random place of a disk. */
async function changeDisk({ bench, dice }: Soak): Promise<void> {
  await using disk = await open(bench.file(`${dice.pick(['a', 'b'])}.img`), 'r+');
  const bytes = Buffer.alloc(8192, Math.floor(dice.roll() * 256));
  await disk.write(bytes, 0, bytes.length, Math.floor(dice.roll() * (DISK_BYTES - bytes.length)));
}

/** Complete exports. @param mayBe what others may be */
async function listed({ bench, place }: Soak, ...mayBe: readonly 'unfinished'[]): Promise<readonly string[]> {
  const { exitCode, stdout, stderr } = await bench.gantry('list', place.address, '--json');
  expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
  const exports: unknown = jsonLines(stdout).at(-1)?.['exports'];
  if (!Array.isArray(exports)) throw new Error(`not a list: ${stdout}`);
  return exports.flatMap(({ reference, state }: { readonly reference: string; readonly state: string }) => {
    expect(['complete', ...mayBe], reference).toContain(state);
    return state === 'complete' ? [reference] : [];
  });
}

/** The arguments of an operation; undefined if there is nothing to do it with. */
async function argumentsOf(soak: Soak, operation: Operation): Promise<readonly string[] | undefined> {
  const { bench, place, dice, kept } = soak;
  const [first, ...rest] = kept.keys();
  switch (operation) {
    case 'export':
    case 'incremental':
      await changeDisk(soak);
      return ['export', bench.file('here.yaml'), place.address, ...(operation === 'export' ? [] : ['--incremental'])];
    case 'prune': {
      const staying = new Set((await listed(soak, 'unfinished')).toSorted().slice(-KEPT_BY_PRUNE));
      for (const reference of kept.keys()) if (!staying.has(reference)) kept.delete(reference);
      return ['prune', place.address, '--keep-last', String(KEPT_BY_PRUNE)];
    }
    case 'import':
      if (first === undefined) return undefined;
      return ['import', place.address, dice.pick([first, ...rest]), '--to', bench.file('there.yaml')];
    case 'remove':
    default: {
      if (first === undefined) return undefined;
      const reference = dice.pick([first, ...rest]);
      kept.delete(reference);
      return ['remove', place.address, reference];
    }
  }
}

/** Runs a command, with a fault while it runs. */
async function runWith(soak: Soak, fault: Fault, usualMs: number, args: readonly string[]): Promise<Outcome> {
  const { bench, place, dice } = soak;
  let end: End = async () => undefined;
  if (fault === 'full') end = await place.fill(dice, 2 * DISK_BYTES);
  if (fault === 'away') end = await place.leave(dice, usualMs);
  try {
    const running = bench.start(...args);
    if (fault !== 'killed') return await running.outcome;
    const ended = new AbortController();
    const outcome = running.outcome.finally(() => ended.abort());
    await wait(dice.roll() * usualMs, undefined, { signal: ended.signal }).catch(() => undefined);
    running.kill('SIGKILL');
    return await outcome;
  } finally {
    await end();
  }
}

async function oneRun(soak: Soak): Promise<void> {
  const { bench, dice, kept, usualMs, count } = soak;
  const operation = dice.pick(OPERATIONS);
  const fault = dice.pick(FAULTS);
  const args = await argumentsOf(soak, operation);
  if (args === undefined) return;
  const before = await digestOf(bench, ['a', 'b']);
  const started = performance.now();
  const { exitCode, stdout, stderr } = await runWith(soak, fault, usualMs.get(operation) ?? 500, args);
  const how = exitCode === undefined ? 'killed' : `status ${exitCode}`;
  count(operation);
  count(`${fault}: ${exitCode === 0 ? 'done' : how}`);
  const what = `gantry ${args.join(' ')} (${fault}, ${how}): ${stderr}`;
  if (fault === 'none') expect(exitCode, what).toBe(0);
  if (fault === 'none') usualMs.set(operation, performance.now() - started);
  // Not an error that nobody has thought of.
  expect(exitCode, what).not.toBe(1);
  expect(await digestOf(bench, ['a', 'b']), what).toBe(before);
  if (exitCode !== 0) await finishRemovals(soak, stderr);
  if (exitCode !== 0) return;
  if (args[0] === 'export') kept.set(lastLine(stdout), before);
  if (args[0] === 'import') expect(await digestOf(bench, ['x', 'y']), what).toBe(kept.get(args[2] ?? ''));
}

/** What was removed from a full store as far as that was possible: now there is space again. */
async function finishRemovals({ bench, place, count }: Soak, stderr: string): Promise<void> {
  const { first = '', others = '' } =
    /(?<first>\S+) is removed(?:, and so (?:is|are) (?<others>.*?))?, but dumps stay/.exec(stderr)?.groups ?? {};
  for (const reference of [first, ...others.split(', ')].filter((each) => each !== '')) {
    count('removal finished');
    expect(await bench.gantry('remove', place.address, reference), reference).toMatchObject({ exitCode: 0 });
  }
}

/** Clears what was left, by what `gantry clean` does and names. */
async function clean({ bench, place }: Soak): Promise<void> {
  const { exitCode, stdout, stderr } = await bench.gantry('clean', place.address);
  expect(exitCode, stderr).toBe(0);
  for (const [, name = ''] of stdout.matchAll(/^kept: .*remove it with: gantry clean .* --export '?([^\s']+)/gm)) {
    expect(await bench.gantry('clean', place.address, '--export', name), name).toMatchObject({ exitCode: 0 });
  }
  expect(await bench.gantry('clean', place.address, '--dry-run')).toMatchObject({ exitCode: 0, stdout: 'nothing to clean' });
}

/** Everything that is said to be made is there, and is what it should be. */
async function checkAll(soak: Soak): Promise<void> {
  const { bench, place, kept } = soak;
  await clean(soak);
  const there = await listed(soak);
  for (const reference of kept.keys()) expect(there).toContain(reference);
  if (there.length > 0) expect(await bench.gantry('verify', place.address)).toMatchObject({ exitCode: 0 });
}

/** Removes everything: then nothing may be there. */
async function expectNothingLeft(soak: Soak): Promise<void> {
  const { bench, place, scratch } = soak;
  for (const reference of await listed(soak)) {
    expect(await bench.gantry('remove', place.address, reference)).toMatchObject({ exitCode: 0 });
  }
  // Packs that nothing needs any more are marked by the first, and deleted by the second.
  for (let prunes = 0; prunes < 2; prunes += 1) expect(await bench.gantry('prune', place.address)).toMatchObject({ exitCode: 0 });
  await clean(soak);
  expect((await place.names()).filter((name) => !name.startsWith('gantry-'))).toEqual([]);
  expect(await readdir(scratch.file('tmp'))).toEqual([]);
  expect(await processesWithVariable('GANTRY_STATE_DIR', bench.file('state'))).toEqual([]);
  expect(await bench.journal()).toEqual([]);
  // In a few runs, maybe no command came so far as to lock something.
  const locks = bench.file('state', 'locks');
  if (IS_SOAK || existsSync(locks)) expect(await readdir(locks)).toEqual([]);
}

/** Bytes and files of the state directory. */
async function stateOf(bench: Workbench): Promise<{ readonly files: number; readonly bytes: number }> {
  const files = await filesBelow(bench.file('state'));
  const sizes = await Promise.all(files.map(async (file) => (await stat(bench.file('state', file))).size));
  return { files: files.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

interface Figures {
  readonly mib: number;
  readonly descriptors: number;
}

/** Commands later on need no more memory, and have no more open, than those at the start. */
async function expectFlat({ scratch }: Soak): Promise<string> {
  const lines = (await readFile(scratch.file('figures'), 'utf8')).trimEnd().split('\n');
  const figures = lines.map((line): Figures => JSON.parse(line));
  const third = Math.ceil(figures.length / 3);
  const early = figures.slice(0, third);
  const late = figures.slice(-third);
  const mib = (some: readonly Figures[]): number => Math.round(median(some.map((each) => each.mib)));
  const descriptors = (some: readonly Figures[]): number => median(some.map((each) => each.descriptors));
  expect(Math.max(...figures.map((each) => each.mib))).toBeLessThan(MAX_RSS_MIB);
  if (IS_SOAK) expect(mib(late)).toBeLessThan(mib(early) * 1.2);
  if (IS_SOAK) expect(descriptors(late)).toBeLessThanOrEqual(descriptors(early) + 1);
  return `memory ${mib(early)} MiB early and ${mib(late)} MiB late, descriptors at the end ${descriptors(early)} and ${descriptors(late)}`;
}

const PLACES = [
  // For some full exports, and what a fault leaves of others.
  ['a directory', () => directoryPlace(40 * MIB)],
  ...(IS_SOAK || ALL_VARIANTS ? [['a bucket', bucketPlace] as const] : []),
] as const;

test.each(PLACES)(
  'exports, imports, prunes and removals in a row with random faults lose nothing and leave nothing in %s',
  { timeout: 120_000 + RUNS * 30_000 },
  async (where, makePlace) => {
    await using place = await makePlace();
    await using scratch = await makeTemporaryDirectory();
    await mkdir(scratch.file('tmp'));
    await writeFile(scratch.file('figures.mjs'), FIGURES);
    await using bench = await makeWorkbench({
      ...place.env,
      GANTRY_CREATE_STORE: '',
      NODE_OPTIONS: `--import ${scratch.file('figures.mjs')}`,
      SOAK_FIGURES: scratch.file('figures'),
      TMPDIR: scratch.file('tmp'),
    });
    for (const disk of ['a', 'b', 'x', 'y']) await makeRandomFile(bench.file(`${disk}.img`), DISK_BYTES, disk);
    for (const [name, disks] of [
      ['here', ['a.img', 'b.img']],
      ['there', ['x.img', 'y.img']],
    ] as const) {
      const text = await readFile(await bench.describeInstance(NAME, { disks }), 'utf8');
      await writeFile(bench.file(`${name}.yaml`), text);
    }
    expect(await bench.gantry('store', 'init', place.address)).toMatchObject({ exitCode: 0 });
    const counts: Record<string, number> = {};
    const soak: Soak = {
      bench,
      scratch,
      place,
      dice: new Dice(SEED),
      kept: new Map(),
      usualMs: new Map(),
      count: (what) => (counts[what] = (counts[what] ?? 0) + 1),
    };
    console.log(`soak in ${where}: ${RUNS} runs, GANTRY_SOAK_SEED=${SEED}`);
    let state = { files: 0, bytes: 0 };
    for (let run = 1; run <= RUNS; run += 1) {
      await oneRun(soak);
      if (run % RUNS_BETWEEN_CHECKS === 0) await checkAll(soak);
      if (run === EARLY_RUN) state = await stateOf(bench);
    }
    await checkAll(soak);
    const stateAtEnd = await stateOf(bench);
    if (IS_SOAK) expect(stateAtEnd.files).toBeLessThanOrEqual(state.files + 10);
    await expectNothingLeft(soak);
    const flat = await expectFlat(soak);
    console.log(
      `soak in ${where}: ${JSON.stringify(counts)}; ${flat}; state directory ${state.files} files with ${state.bytes} bytes early, ` +
        `${stateAtEnd.files} with ${stateAtEnd.bytes} at the end`,
    );
  },
);
