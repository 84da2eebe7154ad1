import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { SshServer, TwoNodes } from '@gantry/testkit';
import { ALL_VARIANTS, PATIENTLY, makeRandomFile, makeSparseFile, makeTwoNodes, sha256File, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { jsonLines, MAIN, makeWorkbench } from './workbench.ts';

/*
 * Moves in rounds from one network namespace to another, of a disk that a process writes to all the while. For the last round it is
 * paused by SIGSTOP.
 */

const MIB = 1024 * 1024;
const DISK_BYTES = 12 * MIB + 4096;

let scope: AsyncDisposableStack;
let nodes: TwoNodes;
let server: SshServer;
let bench: Workbench;
let writer: ChildProcess;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  nodes = scope.use(await makeTwoNodes());
  bench = scope.use(await makeWorkbench());
  const { address, namespace } = nodes.second;
  server = scope.use(await startSshServer({ host: address, namespace }));
  for (const side of ['here', 'there']) await bench.describeInstance(side, { disks: [`${side}.img`] });
  await writeProgram('gantry-there', `GANTRY_STATE_DIR=${bench.file('state-there')} exec ${command().join(' ')} "$@"`);
  // kill(1) returns before the process has stopped.
  await writeProgram('pause', 'kill -STOP "$1" && until grep -q "^State:.T" "/proc/$1/status"; do sleep 0.01; done');
});

afterAll(() => scope.disposeAsync());

/** Writes blocks with numbers to places all over the disk, as fast as one million a minute. */
const WRITER = `
  const { openSync, writeSync } = require('node:fs');
  const fd = openSync(process.argv[1], 'r+');
  const blocks = Number(process.argv[2]) / 4096;
  let number = 0;
  setInterval(() => {
    for (let i = 0; i < 16; i += 1) {
      number += 1;
      const block = number % 5 === 0 ? Buffer.alloc(4096) : Buffer.alloc(4096, String(number));
      writeSync(fd, block, 0, 4096, ((number * 2654435761) % blocks) * 4096);
    }
    if (number === 16) console.log('writing');
  }, 1);
`;

beforeEach(async () => {
  await rm(bench.file('state-there'), { recursive: true, force: true });
  await makeRandomFile(bench.file('here.img'), DISK_BYTES, 'here');
  await makeSparseFile(bench.file('there.img'), DISK_BYTES);
  writer = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, '-e', WRITER, bench.file('here.img'), String(DISK_BYTES)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (writer.stdout !== null) await once(writer.stdout, 'data');
  const commands = { pause: [bench.file('pause'), String(writer.pid)], resume: ['kill', '-CONT', String(writer.pid)] };
  await writeFile(bench.file('pause.yaml'), JSON.stringify(commands));
});

afterEach(async () => {
  writer.kill('SIGKILL');
  await once(writer, 'exit');
});

const command = (): readonly string[] => [process.execPath, MAIN];

async function writeProgram(name: string, text: string): Promise<void> {
  await writeFile(bench.file(name), `#!/bin/sh\n${text}\n`);
  await chmod(bench.file(name), 0o755);
}

function start(...options: readonly string[]) {
  const [program = '', ...before] = [...nodes.first.enter, ...command()];
  const peer = ['--peer-program', bench.file('gantry-there')];
  const live = ['--snapshot', 'none', '--snapshot-config', bench.file('pause.yaml'), ...options];
  return execa(
    program,
    [...before, 'move', bench.file('here.yaml'), server.address(''), '--to', bench.file('there.yaml'), ...peer, ...live],
    {
      env: { GANTRY_STATE_DIR: bench.file('state'), GANTRY_YES: '1' },
      reject: false,
      stdin: 'ignore',
      forceKillAfterDelay: false,
    },
  );
}

async function gantry(state: string, ...args: readonly string[]) {
  const [program = '', ...before] = command();
  return await execa(program, [...before, ...args], { env: { GANTRY_STATE_DIR: bench.file(state) }, reject: false, stdin: 'ignore' });
}

/** Whether the writer is stopped by SIGSTOP. */
async function isPaused(): Promise<boolean> {
  return /^State:.T/m.test(await readFile(`/proc/${writer.pid}/status`, 'utf8'));
}

async function receivers(): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    const text = (file: string): Promise<string> => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    if (!/^\d+$/.test(name) || !(await text('environ')).includes(`GANTRY_STATE_DIR=${bench.file('state-there')}`)) continue;
    if ((await text('cmdline')).replaceAll('\0', ' ').endsWith('gantry.cjs receive ')) found.push(Number(name));
  }
  return found;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Resolves when the move sends data of this round. */
async function sends(move: ReturnType<typeof start>, round: number): Promise<void> {
  let isRound = false;
  for await (const line of createInterface(move.stdout)) {
    const event: unknown = JSON.parse(line);
    if (!isRecord(event)) continue;
    if (event['type'] === 'stage' && String(event['message']).startsWith(`round ${round} of `)) isRound = true;
    if (isRound && event['type'] === 'progress' && Number(event['storedBytes']) > 0) {
      move.stdout.resume();
      return;
    }
  }
  throw new Error(`the move ended before round ${round}`);
}

test('the disk there is what the disk here was when the writer was paused, who wrote until then', async () => {
  const { exitCode, stdout, stderr } = await start('--live-rounds', '3', '--json');
  expect(exitCode, stderr + stdout).toBe(0);
  expect(await isPaused()).toBe(true);
  expect(await sha256File(bench.file('there.img'))).toBe(await sha256File(bench.file('here.img')));
  const rounds = jsonLines(stdout).filter(({ type }) => type === 'round');
  expect(rounds.map(({ round }) => round)).toEqual([1, 2, 3]);
  for (const { plainBytes } of rounds) expect(plainBytes).toBeGreaterThan(0);
  expect(jsonLines(stdout).at(-1)).toMatchObject({ type: 'result', downtimeMs: expect.any(Number) });
});

/** A source that is killed in the last round has paused the guest, and `gantry clean` alone lets it go on. */
const LOSSES = [
  ['link', 2],
  ['source', 3],
] as const;
const MORE_LOSSES = [
  ['source', 1],
  ['receiver', 3],
] as const;

test.each([...LOSSES, ...(ALL_VARIANTS ? MORE_LOSSES : [])])(
  'a %s that goes in round %d leaves a guest that runs, and a move that can go on',
  async (what, round) => {
    // A link that goes is seen by this alone.
    const timeout = what === 'link' ? ['--peer-timeout', '5'] : [];
    const move = start('--live-rounds', '3', '--limit-rate', '10M', '--json', ...timeout);
    await sends(move, round);
    expect(await isPaused()).toBe(round === 3);
    if (what === 'source') move.kill('SIGKILL');
    else if (what === 'receiver') for (const pid of await receivers()) process.kill(pid, 'SIGKILL');
    else await nodes.setLink('down');
    const { exitCode } = await move;
    if (what !== 'source') expect(exitCode).toBe(12);
    await nodes.setLink('up');
    await expect.poll(receivers, PATIENTLY).toEqual([]);
    const cleaned = await gantry('state', 'clean');
    expect(cleaned.exitCode, cleaned.stderr).toBe(0);
    // A source that fails lets it go on; for one that was killed, the next run does.
    expect(/instance here paused, resumed by kill -CONT/.test(cleaned.stdout), cleaned.stdout).toBe(what === 'source' && round === 3);
    expect(await isPaused()).toBe(false);
    expect(await bench.journal()).toEqual([]);
    const [record = ''] = await readdir(bench.file('state-there', 'moves'));
    const outcome = await gantry('state-there', 'receive', '--outcome', record.replace('.json', ''));
    expect(outcome.exitCode).toBe(9);

    const again = await start('--live-rounds', '1', '--resume', '--json');
    expect(again.exitCode, again.stdout).toBe(0);
    expect(await sha256File(bench.file('there.img'))).toBe(await sha256File(bench.file('here.img')));
  },
);

test('without a way to stop the instance, it is refused before anything is done', async () => {
  await writeFile(bench.file('pause.yaml'), 'size: 1G\n');
  const { exitCode, stderr } = await start('--live-rounds', '2');
  expect(exitCode).toBe(2);
  expect(stderr).toContain('nothing would stop here for the last round');
  const alone = await start('--resume');
  expect(alone.exitCode).toBe(2);
  expect(alone.stderr).toContain('--resume needs --live-rounds');
});
