import { readFile, readdir, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import type { MountedFileSystem, SshServer, TemporaryDirectory } from '@gantry/testkit';
import {
  countOf,
  PATIENTLY,
  makeRandomFile,
  makeSparseFile,
  makeTemporaryDirectory,
  mountNewXfs,
  sha256File,
  startSshServer,
} from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Outcome } from './workbench.ts';
import { MAIN } from './workbench.ts';

/*
 * Moves over SSH whose source, receiver or both are killed (-9) at a random moment. More of them:
 *
 *   GANTRY_TEST_KILLS=300 vitest run apps/cli/test/kill-moves.test.ts
 */
const ROUNDS = countOf('GANTRY_TEST_KILLS', 5);
/** A round that takes longer has hung. */
const ROUND_LIMIT_MS = 400_000;

const KIB = 1024;
const DISKS = [0, 1, 2];
const SIDES = ['source', 'receiver', 'both'] as const;
const SCRIPTS = { export: 'cat "$EXPORT_DEVICE"', import: 'cat 1<>"$IMPORT_DEVICE"', create: 'exit 0', verify: 'exit 0' };

let scope: AsyncDisposableStack;
let home: TemporaryDirectory;
/** Where the disks of both sides are: a file system with reflinks. */
let disks: MountedFileSystem;
let server: SshServer;
/** How long an undisturbed move takes, ms. */
let usualMs: number;
let digests: readonly string[];

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  home = scope.use(await makeTemporaryDirectory());
  disks = scope.use(await mountNewXfs());
  server = scope.use(await startSshServer());
  for (const disk of DISKS) await makeRandomFile(disks.file(`here-${disk}.img`), 700 * KIB * (disk + 1), `disk ${disk}`);
  digests = await Promise.all(DISKS.map((disk) => sha256File(disks.file(`here-${disk}.img`))));
  for (const os of ['raw', 'cat']) {
    for (const side of ['here', 'there']) {
      const list = DISKS.map((disk) => `  - path: ${disks.file(`${side}-${disk}.img`)}\n`).join('');
      await writeFile(home.file(`${side}-${os}.yaml`), `name: ${side}.example.com\nos: ${os}\nhypervisor: kvm\ndisks:\n${list}`);
    }
  }
  await execa('mkdir', ['-p', home.file('os', 'cat')]);
  await writeFile(home.file('os', 'cat', 'ganeti_api_version'), '20\n');
  await writeFile(home.file('os', 'cat', 'parameters.list'), '');
  for (const [name, text] of Object.entries(SCRIPTS))
    await writeFile(home.file('os', 'cat', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const environment = `GANTRY_STATE_DIR=${home.file('state-there')} GANTRY_OS_PATH=${home.file('os')} GANTRY_YES=1`;
  await writeFile(home.file('gantry-there'), `#!/bin/sh\nexec env ${environment} ${command().join(' ')} "$@"\n`, { mode: 0o755 });
});

afterAll(() => scope.disposeAsync());

const command = (): readonly string[] => [process.execPath, MAIN];

function start(state: string, ...args: readonly string[]) {
  const [program = '', ...before] = command();
  return execa(program, [...before, ...args], {
    env: { GANTRY_STATE_DIR: home.file(state), GANTRY_OS_PATH: home.file('os'), GANTRY_YES: '1' },
    reject: false,
    stdin: 'ignore',
    forceKillAfterDelay: false,
  });
}

async function gantry(state: string, ...args: readonly string[]): Promise<Outcome> {
  const { exitCode, stdout, stderr } = await start(state, ...args);
  return { exitCode, stdout, stderr };
}

function startMove(os: string) {
  const peer = ['--peer-program', home.file('gantry-there'), '--peer-timeout', '5'];
  return start(
    'state-here',
    'move',
    home.file(`here-${os}.yaml`),
    server.address(''),
    '--to',
    home.file(`there-${os}.yaml`),
    ...peer,
    '--json',
  );
}

/** Processes with our state directories or disks in their environment: both sides, and their scripts. */
async function ourProcesses(): Promise<readonly { readonly pid: number; readonly command: string }[]> {
  const found: { pid: number; command: string }[] = [];
  for (const name of await readdir('/proc')) {
    const text = (file: string): Promise<string> => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    const environment = /^\d+$/.test(name) && Number(name) !== process.pid ? await text('environ') : '';
    if (!environment.includes(`=${home.path}/`) && !environment.includes(`=${disks.path}/`)) continue;
    found.push({ pid: Number(name), command: (await text('cmdline')).replaceAll('\0', ' ') });
  }
  return found;
}

async function receivers(): Promise<readonly number[]> {
  return (await ourProcesses()).filter(({ command }) => /gantry\.cjs receive /.test(`${command} `)).map(({ pid }) => pid);
}

/** Receivers, and the `ssh` of a killed source: one that was still connecting may yet start a receiver, which then ends. */
async function sidesLeft(): Promise<readonly string[]> {
  return (await ourProcesses()).map(({ command }) => command).filter((command) => command.endsWith(' receive '));
}

function kill(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}

async function moves(): Promise<readonly string[]> {
  return readdir(home.file('state-there', 'moves')).catch(() => []);
}

/** Waits for a random time: from now, or with `atCommit` from when the receiver's record appears. */
async function randomMoment(atCommit: boolean, known: readonly string[], isOver: () => boolean): Promise<void> {
  if (!atCommit) {
    await wait(Math.random() * usualMs * 1.1);
    return;
  }
  while (!isOver() && (await moves()).length === known.length) await wait(5);
  await wait(Math.random() * usualMs * 0.4);
}

const tally: Record<string, number> = {};

function count(what: string): void {
  tally[what] = (tally[what] ?? 0) + 1;
}

beforeAll(async () => {
  for (const disk of DISKS) await makeSparseFile(disks.file(`there-${disk}.img`), 700 * KIB * (disk + 1));
  const started = performance.now();
  const outcome = await startMove('cat');
  expect(outcome.exitCode, outcome.stderr).toBe(0);
  usualMs = performance.now() - started;
});

test.each(Array.from({ length: ROUNDS }, (_, round) => round))(
  'a move whose sides are killed leaves one valid copy, and nothing that clean does not remove (%i)',
  async (round) => {
    const os = round % 2 === 0 ? 'cat' : 'raw';
    const side = SIDES[round % SIDES.length] ?? 'both';
    for (const disk of DISKS)
      await execa('dd', [
        'if=/dev/zero',
        `of=${disks.file(`there-${disk}.img`)}`,
        'bs=100k',
        `count=${7 * (disk + 1)}`,
        'conv=notrunc',
        'status=none',
      ]);
    const known = await moves();
    const source = startMove(os);
    let isOver = false;
    const ended = source.then((outcome) => {
      isOver = true;
      return outcome;
    });
    await randomMoment(round % 4 < 2, known, () => isOver);
    count(isOver ? 'too late' : `killed: ${side}`);
    if (side !== 'source') for (const pid of await receivers()) kill(pid);
    if (side !== 'receiver') kill(source.pid);
    const outcome = await ended;
    // The other side sees the end of the channel and ends.
    await expect.poll(sidesLeft, PATIENTLY).toEqual([]);

    const cleaned = await Promise.all(['state-here', 'state-there'].map((state) => gantry(state, 'clean')));
    for (const { exitCode, stderr } of cleaned) expect(exitCode, stderr).toBe(0);
    if (cleaned.some(({ stdout }) => /cleared/.test(stdout))) count('left something to clean');
    await expectNothingLeft();
    await expectOneCopy(outcome, known);
    if (round === ROUNDS - 1) console.log(`${ROUNDS} kills: ${JSON.stringify(tally)}, an undisturbed move takes ${Math.round(usualMs)} ms`);
  },
  ROUND_LIMIT_MS,
);

/** Expects that everything left has been named and removed. */
async function expectNothingLeft(): Promise<void> {
  expect(await ourProcesses()).toEqual([]);
  for (const state of ['state-here', 'state-there']) {
    const left = await Promise.all(['runs', 'locks'].map((directory) => readdir(home.file(state, directory)).catch(() => [])));
    expect(left.flat()).toEqual([]);
    expect(await gantry(state, 'clean', '--dry-run')).toMatchObject({ exitCode: 0, stdout: 'nothing to clean' });
  }
  expect((await moves()).filter((name) => !/^[0-9a-f]{32}\.json$/.test(name))).toEqual([]);
  expect((await readdir(disks.path)).filter((name) => !/^(here|there)-\d\.img$/.test(name))).toEqual([]);
}

/** Expects an unchanged copy at the source, and at the receiver what its record says; the source must not claim otherwise. */
async function expectOneCopy({ exitCode, stdout, stderr }: Partial<Outcome>, known: readonly string[]): Promise<void> {
  for (const disk of DISKS) expect(await sha256File(disks.file(`here-${disk}.img`))).toBe(digests[disk]);
  const [record, ...more] = (await moves()).filter((name) => !known.includes(name));
  expect(more).toEqual([]);
  const id = record?.replace('.json', '') ?? '0'.repeat(32);
  const shown = await gantry('state-there', 'receive', '--outcome', id);
  const isCommitted = shown.exitCode === 0;
  expect(isCommitted || shown.exitCode === 9, shown.stderr).toBe(true);
  count(isCommitted ? 'committed' : 'not committed');
  if (exitCode !== undefined) count(`source ended with ${exitCode}`);
  if (isCommitted) for (const disk of DISKS) expect(await sha256File(disks.file(`there-${disk}.img`))).toBe(digests[disk]);
  const saysCommitted = String(stdout).includes('"type":"result"');
  if (saysCommitted) expect(isCommitted).toBe(true);
  // If it was killed or undecided, it has claimed nothing.
  if (exitCode !== undefined && exitCode !== 0 && exitCode !== 13) expect(isCommitted, String(stderr)).toBe(false);
}
