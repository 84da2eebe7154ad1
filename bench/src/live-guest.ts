/*
 * Moves the disk of a real guest that writes 20 MiB/s from one network namespace to another, in one, two and three rounds, read and paused
 * through its QEMU, and prints a table of bytes and downtimes: `node --conditions=@gantry/source bench/src/live-guest.ts [GIB] [RATE]`. As
 * root, after `turbo run build`. With `--docs` the table goes into docs/explanation/moving.md. The guest is emulated, and says how much of
 * its rate it reached.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { makeRandomFile, startWritingGuest } from '@gantry/testkit';
import { cellsOf, openLiveMoveBench } from './live-move.ts';
import { replaceBetween } from './update-docs.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const args = process.argv.slice(2).filter((argument) => argument !== '--docs');
const diskBytes = Number(args[0] ?? 2) * GIB;
const PAGE = new URL('../../docs/explanation/moving.md', import.meta.url);
const MIB_PER_SECOND = 20;

/** Sends a command of QMP, and waits for its answer. */
const QMP = `
  const [socket, command] = process.argv.slice(2);
  const connection = require('node:net').connect({ path: socket });
  const say = (execute) => connection.write(JSON.stringify({ execute }) + '\\n');
  let answers = 0;
  require('node:readline').createInterface(connection).on('line', (line) => {
    const message = JSON.parse(line);
    if (message.error) throw new Error(line);
    if (message.QMP) say('qmp_capabilities');
    if (!('return' in message)) return;
    answers += 1;
    if (answers === 1) say(command);
    else connection.end();
  });
`;

// The network: 1 Gbit/s.
await using bench = await openLiveMoveBench(diskBytes, args[1] ?? '112M');
const { directory, disks } = bench;
await makeRandomFile(disks.file('here.img'), diskBytes, 'guest');
await mkdir(disks.file('scratch'), { mode: 0o711 });

// A program of its own: braces mean something in the configuration.
const program = directory.file('qmp.cjs');
await writeFile(program, QMP);

const rows: string[] = ['| rounds | sent | downtime | the guest reached |', '| --- | --- | --- | --- |'];
for (const rounds of [1, 2, 3]) {
  const qmp = directory.file(`qmp${rounds}`);
  const stream = { mibPerSecond: MIB_PER_SECOND, regionMib: diskBytes / 4 / MIB };
  await using guest = await startWritingGuest({ directory: directory.path, disks: [disks.file('here.img')], qmp, stream });
  const before = guest.written();
  const command = (name: string): readonly string[] => [process.execPath, program, qmp, name];
  const config = { qemu: { qmp, scratch: disks.file('scratch') }, pause: command('stop'), resume: command('cont') };
  const result = await bench.move(rounds, { snapshot: 'qemu', config });
  // In the last round it stood still: with one, all the while.
  const wroteMs = result.durationMs - result.downtimeMs;
  const reached = rounds === 1 ? '—' : `${(((guest.written() - before) / wroteMs) * 1000).toFixed(1)} MiB/s`;
  rows.push(`| ${[...cellsOf(result), reached].join(' | ')} |`);
  console.log(rows.at(-1));
}
if (process.argv.includes('--docs')) await replaceBetween(PAGE, 'bench/src/live-guest.ts --docs', rows.join('\n'));
