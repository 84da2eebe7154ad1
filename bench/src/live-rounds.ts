/*
 * Moves a disk that is written to at 20 MB/s from one network namespace to another, in one, two and three rounds, and prints a table of
 * bytes and downtimes: `node --conditions=@gantry/source bench/src/live-rounds.ts [GIB] [RATE]`. As root, after `turbo run build`. With
 * `--docs` the table goes into docs/explanation/moving.md.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import { makeRandomFile, makeSparseFile, makeTemporaryDirectory, makeTwoNodes, mountNewXfs, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { COMMAND } from './command.ts';
import { replaceBetween } from './update-docs.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const args = process.argv.slice(2).filter((argument) => argument !== '--docs');
const diskBytes = Number(args[0] ?? 2) * GIB;
/** Of the network: 1 Gbit/s. */
const rate = args[1] ?? '112M';
const PAGE = new URL('../../docs/explanation/moving.md', import.meta.url);

/** How the guest writes 20 MB/s: in pieces of `bytes`, one after the other or to random places, within a quarter of the disk. */
const GUESTS = [
  { name: '64 KiB, one after the other', bytes: 64 * 1024, isRandom: false },
  { name: '4 KiB, to random places', bytes: 4096, isRandom: true },
] as const;

const WRITER = `
  const { openSync, writeSync } = require('node:fs');
  const [path, region, bytes, isRandom] = process.argv.slice(1);
  const fd = openSync(path, 'r+');
  const { randomFillSync } = require("node:crypto");
  const block = Buffer.alloc(Number(bytes));
  const pieces = Number(region) / block.length;
  const start = performance.now();
  let written = 0;
  setInterval(() => {
    for (; written * block.length < (performance.now() - start) * 20_000; written += 1) {
      randomFillSync(block);
      const piece = isRandom === 'true' ? Math.floor(Math.random() * pieces) : written % pieces;
      writeSync(fd, block, 0, block.length, piece * block.length);
    }
  }, 5);
  console.log('writing');
`;

interface Round {
  readonly storedBytes: number;
  readonly durationMs: number;
}

interface Result {
  readonly rounds: readonly Round[];
  readonly downtimeMs: number;
}

// What was mounted is unmounted when the process exits.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
await using directory = await makeTemporaryDirectory();
// Before the server, which does not see later mounts.
await using disks = await mountNewXfs(diskBytes * 3 + GIB);
await using nodes = await makeTwoNodes();
await using server = await startSshServer({ host: nodes.second.address, namespace: nodes.second.namespace });
const program = directory.file('gantry-there');
await writeFile(program, `#!/bin/sh\nGANTRY_STATE_DIR=${directory.file('state-there')} exec ${COMMAND.join(' ')} "$@"\n`, { mode: 0o755 });
const pause = directory.file('pause');
const untilStopped = 'until grep -q "^State:.T" "/proc/$1/status"; do sleep 0.01; done';
await writeFile(pause, `#!/bin/sh\nkill -STOP "$1" && ${untilStopped}\n`, { mode: 0o755 });
for (const side of ['here', 'there']) {
  const yaml = `name: guest\nos: raw\nhypervisor: kvm\ndisks:\n  - path: ${disks.file(`${side}.img`)}\n`;
  await writeFile(directory.file(`${side}.yaml`), yaml);
}
await makeRandomFile(disks.file('here.img'), diskBytes, 'guest');
await makeSparseFile(disks.file('there.img'), diskBytes);

const rows: string[] = ['| the guest writes 20 MB/s in pieces of | rounds | sent | downtime |', '| --- | --- | --- | --- |'];
for (const guest of GUESTS) {
  for (const rounds of [1, 2, 3]) {
    const result = await move(guest, rounds);
    const sent = result.rounds.map(({ storedBytes, durationMs }) => `${Math.round(storedBytes / MIB)} MiB in ${seconds(durationMs)}`);
    rows.push(`| ${guest.name} | ${rounds} | ${sent.join('; ')} | ${seconds(result.downtimeMs)} |`);
    console.log(rows.at(-1));
  }
}
if (process.argv.includes('--docs')) await replaceBetween(PAGE, 'bench/src/live-rounds.ts --docs', rows.join('\n'));

async function move(guest: (typeof GUESTS)[number], rounds: number): Promise<Result> {
  const region = String(diskBytes / 4);
  const writer = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', process.execPath, '-e', WRITER, disks.file('here.img'), region, String(guest.bytes), String(guest.isRandom)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    await once(writer.stdout, 'data');
    const commands = { pause: [pause, String(writer.pid)], resume: ['kill', '-CONT', String(writer.pid)] };
    await writeFile(directory.file('pause.yaml'), JSON.stringify(commands));
    const [enter = '', ...more] = nodes.first.enter;
    const options = ['--live-rounds', String(rounds), '--snapshot', 'reflink', '--snapshot-config', directory.file('pause.yaml')];
    const peer = ['--peer-program', program, '--limit-rate', rate, '--yes', '--json'];
    const call = ['move', directory.file('here.yaml'), server.address(''), '--to', directory.file('there.yaml'), ...options, ...peer];
    const { stdout } = await execa(enter, [...more, ...COMMAND, ...call], { env: { GANTRY_STATE_DIR: directory.file('state') } });
    await execa('cmp', [disks.file('here.img'), disks.file('there.img')]);
    return resultOf(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? ''));
  } finally {
    writer.kill('SIGKILL');
  }
}

function resultOf(line: unknown): Result {
  const { rounds, downtimeMs }: { readonly rounds?: unknown; readonly downtimeMs?: unknown } = Object(line);
  if (!Array.isArray(rounds) || typeof downtimeMs !== 'number') throw new Error(`not the result of a live move: ${JSON.stringify(line)}`);
  return { rounds, downtimeMs };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
