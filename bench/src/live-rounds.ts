/*
 * Moves a disk that is written to at 20 MB/s from one network namespace to another, in one, two and three rounds, and prints a table of
 * bytes and downtimes: `node --conditions=@gantry/source bench/src/live-rounds.ts [GIB] [RATE]`. As root, after `turbo run build`. With
 * `--docs` the table goes into docs/explanation/moving.md.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import { makeRandomFile } from '@gantry/testkit';
import type { LiveMoveResult } from './live-move.ts';
import { cellsOf, openLiveMoveBench } from './live-move.ts';
import { replaceBetween } from './update-docs.ts';

const GIB = 1024 ** 3;
const args = process.argv.slice(2).filter((argument) => argument !== '--docs');
const diskBytes = Number(args[0] ?? 2) * GIB;
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

// The network: 1 Gbit/s.
await using bench = await openLiveMoveBench(diskBytes, args[1] ?? '112M');
const { directory, disks } = bench;
const pause = directory.file('pause');
const untilStopped = 'until grep -q "^State:.T" "/proc/$1/status"; do sleep 0.01; done';
await writeFile(pause, `#!/bin/sh\nkill -STOP "$1" && ${untilStopped}\n`, { mode: 0o755 });
await makeRandomFile(disks.file('here.img'), diskBytes, 'guest');

const rows: string[] = ['| the guest writes 20 MB/s in pieces of | rounds | sent | downtime |', '| --- | --- | --- | --- |'];
for (const guest of GUESTS) {
  for (const rounds of [1, 2, 3]) {
    rows.push(`| ${[guest.name, ...cellsOf(await move(guest, rounds))].join(' | ')} |`);
    console.log(rows.at(-1));
  }
}
if (process.argv.includes('--docs')) await replaceBetween(PAGE, 'bench/src/live-rounds.ts --docs', rows.join('\n'));

async function move(guest: (typeof GUESTS)[number], rounds: number): Promise<LiveMoveResult> {
  const region = String(diskBytes / 4);
  const writer = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', process.execPath, '-e', WRITER, disks.file('here.img'), region, String(guest.bytes), String(guest.isRandom)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    await once(writer.stdout, 'data');
    const config = { pause: [pause, String(writer.pid)], resume: ['kill', '-CONT', String(writer.pid)] };
    return await bench.move(rounds, { snapshot: 'reflink', config });
  } finally {
    writer.kill('SIGKILL');
  }
}
