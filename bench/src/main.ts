import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createBucket, makeTemporaryDirectory, mountNewTmpfs, startCeph, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { chart } from './chart.ts';
import { GROUPS, parseChoices } from './choices.ts';
import { runContest } from './contest.ts';
import { HAS_HALVES, keepTo } from './halves.ts';
import type { Contestant } from './contestant.ts';
import { ARCHIVERS, QEMU } from './contestants/archivers.ts';
import { GANETI } from './contestants/ganeti.ts';
import { GANTRY } from './contestants/gantry.ts';
import { PIPES } from './contestants/pipes.ts';
import { s3Contestants } from './contestants/s3.ts';
import { SEALED } from './contestants/sealed.ts';
import { sshContestants } from './contestants/ssh.ts';
import { DATA_SETS, GIB, makeDataSet } from './data-sets.ts';
import { mergeContests, readContests } from './merge.ts';
import { runScaling } from './scaling.ts';
import { updateDocs } from './update-docs.ts';
import type { Contest } from './report.ts';
import { remarks, table, tableOfAdded } from './report.ts';

const { values } = parseArgs({
  options: {
    set: { type: 'string', default: Object.keys(DATA_SETS).join(',') },
    peer: { type: 'string', default: '' },
    runs: { type: 'string', default: '3' },
    size: { type: 'string', default: '1' },
    group: { type: 'string', default: GROUPS.join(',') },
    largest: { type: 'string', default: '4' },
    out: { type: 'string', default: 'bench-results' },
    directory: { type: 'string' },
    docs: { type: 'boolean', default: false },
    'exports-only': { type: 'boolean', default: false },
    merge: { type: 'boolean', default: false },
  },
});

const runs = Number(values.runs);
const bytes = Math.round(Number(values.size) * GIB);
if (!(Number.isInteger(runs) && runs > 0 && bytes > 0)) throw new Error('--runs must be a whole number and --size a number of GiB');
const { groups, sets, sealedSets } = parseChoices(values);
const withImports = !values['exports-only'];
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Gantry among the others, not first or last: so that neither it nor the others profit from their place. */
const everyContestant: readonly Contestant[] = [...PIPES, ...GANTRY, ...GANETI, ...ARCHIVERS, QEMU];
const chosen = (all: readonly Contestant[]): readonly Contestant[] =>
  all.filter(({ name }) => values.peer === '' || name.startsWith('gantry') || values.peer.split(',').some((part) => name.includes(part)));

await using directory = values.directory === undefined ? await makeTemporaryDirectory('gantry-bench-') : undefined;
const path = directory?.path ?? values.directory ?? '';
await mkdir(path, { recursive: true });
await mkdir(values.out, { recursive: true });

/** Read first: a run that cannot be merged in the end would be lost. */
const earlier = values.merge ? await readContests(join(values.out, 'results.json')) : [];

const contests: Contest[] = [];
if (groups.includes('tools')) {
  for (const kind of sets) {
    const disk = join(path, `${kind}.img`);
    say(`\n${kind}: ${DATA_SETS[kind]}`);
    const size = await makeDataSet(kind, bytes, disk);
    const results = await runContest(chosen(everyContestant), { directory: path, disk, bytes: size, runs, withImports, say });
    contests.push({ title: `${kind}, ${format(size)}`, key: kind, bytes: size, results });
    await execa('rm', [disk]);
  }
}
if (groups.includes('memory')) {
  say('\ndense, source and target in memory');
  await using memory = await mountNewTmpfs(6 * bytes);
  const disk = memory.file('dense.img');
  const size = await makeDataSet('dense', bytes, disk);
  const few = [...PIPES.slice(0, 1), ...GANTRY];
  const results = await runContest(few, { directory: memory.path, disk, bytes: size, runs, withImports, say });
  contests.push({ title: `dense, ${format(size)}, source and target in memory`, key: 'memory', bytes: size, results });
}
if (groups.includes('sealed')) {
  for (const kind of sealedSets) {
    say(`\nwith encryption: ${kind}`);
    const disk = join(path, `${kind}.img`);
    const size = await makeDataSet(kind, bytes, disk);
    const results = await runContest(chosen(SEALED), { directory: path, disk, bytes: size, runs, withImports, say });
    contests.push({ title: `${kind}, ${format(size)}, encrypted`, key: `sealed-${kind}`, bytes: size, results });
    await execa('rm', [disk]);
  }
}
if (groups.includes('ssh') || groups.includes('s3')) {
  const disk = join(path, 'mixed.img');
  const size = await makeDataSet('mixed', bytes, disk);
  const options = { directory: path, disk, bytes: size, runs, withImports, say };
  if (groups.includes('ssh')) {
    say('\na peer over SSH, on loopback');
    await using server = await startSshServer();
    contests.push({
      title: `mixed, ${format(size)}, to a peer over SSH`,
      key: 'ssh',
      bytes: size,
      results: await runContest(sshContestants(server), options),
    });
  }
  if (groups.includes('ssh') && HAS_HALVES) {
    say('\na peer with processors of its own');
    await keepTo('far');
    await using server = await startSshServer();
    await keepTo('near');
    contests.push({
      title: `mixed, ${format(size)}, to a peer over SSH, each side with half of the processors`,
      key: 'ssh-halves',
      bytes: size,
      results: await runContest(sshContestants(server), options),
    });
    await keepTo('all');
  }
  if (groups.includes('s3')) {
    say('\na bucket of a gateway of Ceph, on loopback');
    await using server = await startCeph({ store: 'disk' });
    await createBucket(server, 'bench');
    contests.push({
      title: `mixed, ${format(size)}, to a bucket`,
      key: 's3',
      bytes: size,
      results: await runContest(s3Contestants(server, 'bench'), options),
    });
  }
  await execa('rm', [disk]);
}
if (groups.includes('scaling'))
  contests.push(...(await runScaling({ directory: path, runs, bytes, largestGiB: Number(values.largest), say })));
const all = mergeContests(earlier, contests);

const machine = `${availableParallelism()} processors (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / GIB)} GiB of memory, Linux ${release()}, Node ${process.version}`;
const date = new Date().toISOString().slice(0, 10);
/** Numbers show scaling better than bars. */
const inChart = all.filter(({ key }) => !/\d$/.test(key) || key === 's3');
const tables = all
  .map((contest) => `### ${[contest.title, table(contest), tableOfAdded(contest)].filter(Boolean).join('\n\n')}\n`)
  .join('\n');
const text = `Measured on ${date}: ${machine}; ${runs} runs in turn, medians, ± half the range.\n\n${remarks(all)}\n\n${tables}`;
await writeFile(join(values.out, 'results.md'), text);
await writeFile(join(values.out, 'results.json'), `${JSON.stringify({ date, machine, runs, contests: all }, null, 2)}\n`);
await writeFile(join(values.out, 'exports.svg'), chart(inChart));
if (values.docs) await updateDocs(text, chart(inChart));
process.stdout.write(`${text}\n`);

function format(size: number): string {
  return `${Number((size / GIB).toFixed(2))} GiB`;
}
