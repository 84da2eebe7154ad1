import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import type { SshServer, TemporaryDirectory } from '@gantry/testkit';
import { ALL_VARIANTS, countOf, PATIENTLY, makeRandomFile, makeSparseFile, makeTemporaryDirectory, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Outcome } from './workbench.ts';
import { MAIN } from './workbench.ts';

/*
 * Every operation on a store, in a local directory and on a peer, killed (-9) at a random moment. `gantry clean` removes what it leaves,
 * or names it with the command that removes it. More kills of each: scripts/kills.sh 300
 */
const KILLS = countOf('GANTRY_TEST_KILLS', 1);
/** Tries per kill: an operation may end before it is killed, and is killed earlier then. */
const MAX_TRIES_PER_KILL = 8;
const ROUND_LIMIT_MS = 400_000;

const MiB = 1024 * 1024;
const NAME = 'web1.example.com';

let scope: AsyncDisposableStack;
let home: TemporaryDirectory;
let server: SshServer;
/** The directory of the one complete export, relative to a store. */
let complete: string;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  home = scope.use(await makeTemporaryDirectory());
  server = scope.use(await startSshServer());
  for (const disk of ['a', 'b', 'c']) await makeRandomFile(home.file(`${disk}.img`), 3 * MiB, `disk ${disk}`);
  for (const disk of ['x', 'y']) await makeSparseFile(home.file(`${disk}.img`), 3 * MiB);
  await describeInstance('here', ['a', 'b']);
  await describeInstance('there', ['x', 'y']);
  await describeInstance('later', ['c', 'b']);
  expect(await gantry('store', 'init', home.file('origin'))).toMatchObject({ exitCode: 0 });
  expect(await gantry('export', home.file('here.yaml'), home.file('origin'))).toMatchObject({ exitCode: 0 });
  const [id = ''] = await readdir(home.file('origin', NAME));
  complete = join(NAME, id);
  // Twice: the newest one has another id than that above, even within a second.
  for (let exports = 0; exports < 2; exports += 1) {
    expect(await gantry('export', home.file('here.yaml'), home.file('other'), '--create-store')).toMatchObject({ exitCode: 0 });
  }
});

afterAll(() => scope.disposeAsync());

async function describeInstance(name: string, disks: readonly string[]): Promise<void> {
  const list = disks.map((disk) => `  - path: ${home.file(`${disk}.img`)}\n`).join('');
  await writeFile(home.file(`${name}.yaml`), `name: ${NAME}\nos: raw\nhypervisor: kvm\ndisks:\n${list}`);
}

function start(args: readonly string[]) {
  return execa(process.execPath, [MAIN, ...args], {
    env: { GANTRY_STATE_DIR: home.file('state'), GANTRY_YES: '1' },
    reject: false,
    stdin: 'ignore',
    forceKillAfterDelay: false,
  });
}

async function gantry(...args: readonly string[]): Promise<Outcome> {
  const { exitCode, stdout, stderr } = await start(args);
  return { exitCode, stdout, stderr };
}

/** Runs a command and kills it at a random moment within about the time that it takes. @returns whether it was still running */
async function killed(args: readonly string[], usualMs: number): Promise<boolean> {
  const child = start(args);
  const timer = new AbortController();
  const ended = child.then((outcome) => {
    timer.abort();
    return outcome;
  });
  await wait(Math.random() * usualMs, undefined, { signal: timer.signal }).catch(() => undefined);
  child.kill('SIGKILL');
  const { signal } = await ended;
  // The peer may still be working on its last requests.
  await expect.poll(() => server.sessions(), PATIENTLY).toBe(0);
  return signal === 'SIGKILL';
}

interface Operation {
  readonly name: string;
  /** Prepares the store in `path` for the operation. */
  readonly prepare: (path: string, address: string) => Promise<void>;
  readonly args: (address: string) => readonly string[];
  /** Which complete exports the store may have after the kill and the cleanup. */
  readonly mayBe: 'with its export' | 'with or without it' | 'with more';
}

const nothing = async (): Promise<void> => undefined;

/** Within which time an export is killed, ms: about as long as it takes. */
const EXPORT_MS = { file: 600, ssh: 1800 };

/** Leaves what a killed export leaves, in most cases. */
async function leaveUnfinished(path: string, address: string): Promise<void> {
  await killed(['export', home.file('here.yaml'), address], address === path ? EXPORT_MS.file : EXPORT_MS.ssh);
}

const OPERATIONS: readonly Operation[] = [
  { name: 'export', prepare: nothing, args: (address) => ['export', home.file('here.yaml'), address], mayBe: 'with more' },
  {
    name: 'incremental export',
    prepare: nothing,
    args: (address) => ['export', home.file('later.yaml'), address, '--incremental'],
    mayBe: 'with more',
  },
  {
    name: 'import',
    prepare: nothing,
    args: (address) => ['import', address, NAME, '--to', home.file('there.yaml')],
    mayBe: 'with its export',
  },
  { name: 'verify', prepare: nothing, args: (address) => ['verify', address, NAME], mayBe: 'with its export' },
  { name: 'remove', prepare: nothing, args: (address) => ['remove', address, complete.replace('/', '@')], mayBe: 'with or without it' },
  { name: 'copy', prepare: nothing, args: (address) => ['copy', home.file('other'), NAME, address], mayBe: 'with more' },
  { name: 'clean', prepare: leaveUnfinished, args: (address) => ['clean', address], mayBe: 'with more' },
];

/** On a peer, the rest differs little from a directory: scripts/kills.sh and scripts/variants.sh do all. */
const ON_PEERS = ALL_VARIANTS || KILLS > 1 ? OPERATIONS : OPERATIONS.filter(({ name }) => ['export', 'remove', 'clean'].includes(name));

describe.each([
  ['file', OPERATIONS],
  ['ssh', ON_PEERS],
] as const)('in a store by %s', (scheme, operations) => {
  test.each(operations)(
    'a killed $name leaves nothing that clean does not remove or name',
    { timeout: KILLS * ROUND_LIMIT_MS },
    async (operation) => {
      const path = home.file(`${scheme}-${operation.name}`);
      const address = scheme === 'file' ? path : server.address(path);
      const tally: Record<string, number> = {};
      const count = (what: string): void => void (tally[what] = (tally[what] ?? 0) + 1);
      const usualMs = await measure(operation, path, address);
      let kills = 0;
      let withinMs = usualMs * 1.1;
      for (let tries = 0; kills < KILLS && tries < KILLS * MAX_TRIES_PER_KILL; tries += 1) {
        await makeStore(path);
        await operation.prepare(path, address);
        if (!(await killed(operation.args(address), withinMs))) {
          // The machine had more to do when the usual time was measured.
          withinMs /= 2;
          continue;
        }
        withinMs = usualMs * 1.1;
        kills += 1;
        count(await clean(address));
        await expectNothingLeft(operation, path, address, count);
      }
      expect(kills).toBe(KILLS);
      console.info(`${operation.name} by ${scheme}: ${kills} kills within ${Math.round(usualMs)} ms: ${JSON.stringify(tally)}`);
    },
  );
});

/** A store with one complete export. */
async function makeStore(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { mode: 0o700 });
  await cp(home.file('origin'), path, { recursive: true });
}

async function measure({ prepare, args }: Operation, path: string, address: string): Promise<number> {
  await makeStore(path);
  await prepare(path, address);
  const started = performance.now();
  const { exitCode, stderr } = await gantry(...args(address));
  expect(exitCode, stderr).toBe(0);
  return performance.now() - started;
}

/** Cleans, and runs the commands that it suggests for what it keeps. @returns what there was to do */
async function clean(address: string): Promise<'nothing left' | 'cleared' | 'named with its command'> {
  const { exitCode, stdout, stderr } = await gantry('clean', address);
  expect(exitCode, stderr).toBe(0);
  const kept = stdout.split('\n').filter((line) => line.startsWith('kept: '));
  for (const line of kept) {
    const [, command = ''] = /remove it with: gantry (.*)$/.exec(line) ?? [];
    expect(command, line).not.toBe('');
    expect(
      await execa(`${process.execPath} ${MAIN} ${command}`, {
        shell: true,
        reject: false,
        env: { GANTRY_STATE_DIR: home.file('state') },
      }),
    ).toMatchObject({ exitCode: 0 });
  }
  if (kept.length > 0) return 'named with its command';
  return stdout === 'nothing to clean' ? 'nothing left' : 'cleared';
}

async function expectNothingLeft({ mayBe }: Operation, path: string, address: string, count: (what: string) => void): Promise<void> {
  expect(await gantry('clean', address, '--dry-run')).toMatchObject({ exitCode: 0, stdout: 'nothing to clean' });
  // The list tells of a partly removed export, and removing it again finishes the job.
  const partly = await partlyRemoved(path);
  if (mayBe === 'with or without it' && partly.length > 0) {
    count('removal finished by a second one');
    expect(await gantry('list', address)).toMatchObject({ stdout: expect.stringMatching(/being removed|of a removed export are kept/) });
    for (const reference of partly) expect(await gantry('remove', address, reference)).toMatchObject({ exitCode: 0 });
  }
  expect(await partlyRemoved(path)).toEqual([]);
  const exports = await exportsIn(path);
  if (mayBe === 'with or without it') expect([[], [complete]]).toContainEqual(exports);
  else expect(exports).toContain(complete);
  if (mayBe === 'with its export') expect(exports).toEqual([complete]);
  for (const reference of exports) {
    const { exitCode, stderr } = await gantry('verify', address, reference.replace('/', '@'));
    expect(exitCode, stderr).toBe(0);
  }
  // What `gantry verify` remembers stays.
  const names = (await readdir(path)).filter((name) => name !== 'gantry-verified');
  expect(names.toSorted()).toEqual(['gantry-store.json', ...(exports.length > 0 ? [NAME] : [])]);
  const state = await Promise.all(['runs', 'locks'].map((directory) => readdir(home.file('state', directory)).catch(() => [])));
  expect(state.flat()).toEqual([]);
}

/** Of a full export, and of one that stores the changed one of two disks. */
const FILES = [
  ['SHA256SUMS', 'config.ini', 'disk0.zst', 'disk1.zst', 'frames.table', 'manifest.json'],
  ['SHA256SUMS', 'config.ini', 'disk0.map', 'disk0.pack.zst', 'disk1.map', 'manifest.json'],
];

/** Complete exports, each of which must have exactly the files of an export. */
async function exportsIn(path: string): Promise<readonly string[]> {
  const ids = await readdir(join(path, NAME)).catch(() => []);
  const found: string[] = [];
  for (const id of ids) {
    const files = await readdir(join(path, NAME, id));
    expect(FILES, id).toContainEqual(files.toSorted());
    found.push(join(NAME, id));
  }
  return found.toSorted();
}

async function partlyRemoved(path: string): Promise<readonly string[]> {
  const ids = await readdir(join(path, NAME)).catch(() => []);
  const found: string[] = [];
  for (const id of ids) {
    const files = await readdir(join(path, NAME, id));
    if (!files.includes('manifest.json') || files.includes('removed.json')) found.push(`${NAME}@${id}`);
  }
  return found;
}
