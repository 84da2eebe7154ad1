/*
 * Exports of a lineage beside restic and borg: `node --conditions=@gantry/source bench/src/lineages.ts goals` prints the table of second
 * exports, `… days [DAYS]` a month of daily exports and prunes of a disk with PostgreSQL, with a chart. As root, after `turbo run build`,
 * with Debian's restic, borgbackup and postgresql. With `--docs` both go into docs/explanation/lineages.md.
 */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { makeRandomFile, makeTemporaryDirectory } from '@gantry/testkit';
import { execa } from 'execa';
import { changeRuns } from './change-runs.ts';
import { COMMAND_LINE } from './command.ts';
import { quote } from './contestant.ts';
import { CAT_DEFINITION } from './contestants/gantry.ts';
import { GIB, makeDataSet, MIB } from './data-sets.ts';
import { measure } from './measure.ts';
import { makePostgresDisk } from './postgres-disk.ts';
import { lineChart } from './line-chart.ts';
import { replaceBetween } from './update-docs.ts';

const PAGE = new URL('../../docs/explanation/lineages.md', import.meta.url);
const CHART = new URL('../../docs/explanation/lineages.svg', import.meta.url);

/** A tool that keeps a disk again and again, with one repository in `own`. */
interface Keeper {
  readonly name: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly prepare: (disk: string, own: string) => Promise<void>;
  readonly keep: (disk: string, number: number) => string;
  /** Keeps the last `count` exports. */
  readonly prune?: (count: number) => string;
}

const RESTIC: Keeper = {
  name: 'restic',
  environment: { RESTIC_PASSWORD: 'bench', RESTIC_REPOSITORY: 'repository', RESTIC_CACHE_DIR: '../cache-restic', RESTIC_PROGRESS_FPS: '0' },
  prepare: async (_disk, cwd) => void (await execa('restic', ['init', '-q'], { cwd, env: RESTIC.environment })),
  keep: (disk) => `cat ${quote(disk)} | restic backup -q --stdin --stdin-filename disk`,
  prune: (count) => `restic forget -q --keep-last ${count} --prune`,
};

const BORG: Keeper = {
  name: 'borg',
  environment: {
    BORG_REPO: 'repository',
    BORG_CACHE_DIR: '../cache-borg',
    BORG_CONFIG_DIR: '../config-borg',
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  },
  prepare: async (_disk, cwd) => void (await execa('borg', ['init', '-e', 'none'], { cwd, env: BORG.environment })),
  keep: (disk, number) => `cat ${quote(disk)} | borg create -C zstd,3 ::n${number} -`,
  prune: (count) => `borg prune --keep-last ${count} && borg compact`,
};

function gantry(os: 'raw' | 'cat'): Keeper {
  return {
    name: os === 'raw' ? 'gantry raw' : 'gantry (script)',
    environment: { GANTRY_STATE_DIR: '../state', GANTRY_OS_PATH: 'os', GANTRY_CREATE_STORE: '1' },
    async prepare(disk, own) {
      const yaml = `name: source.example.com\nos: ${os}\nhypervisor: kvm\ndisks:\n  - path: ${disk}\n`;
      await writeFile(join(own, 'source.yaml'), yaml);
      await execa('bash', ['-c', CAT_DEFINITION], { cwd: own });
    },
    keep: () => `${COMMAND_LINE} export source.yaml repository --quiet --snapshot none --incremental`,
    prune: (count) => `${COMMAND_LINE} prune repository --quiet --keep-last ${count}`,
  };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { docs: { type: 'boolean', default: false }, size: { type: 'string', default: '2' } },
});
const [what = 'goals', days = '30'] = positionals;

// What was mounted is unmounted when the process exits.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
await using directory = await makeTemporaryDirectory('gantry-bench-');

if (what === 'goals') await goals();
else if (what === 'days') await month(Number(days));
else throw new Error(`unknown part ${what}: goals or days`);

interface Change {
  readonly title: string;
  readonly keepers: readonly Keeper[];
  readonly make: (disk: string) => Promise<void>;
  /** Changes the disk between the first and the second export. */
  readonly change: (disk: string) => Promise<void>;
}

async function goals(): Promise<void> {
  const bytes = Number(values.size) * GIB;
  const postgres: { day?: () => Promise<void> } = {};
  const changes: readonly Change[] = [
    { title: 'nothing changed', keepers: [gantry('raw'), RESTIC, BORG], make: (disk) => dense(disk, bytes), change: async () => undefined },
    {
      title: '2 % changed, in runs',
      keepers: [gantry('raw'), RESTIC, BORG],
      make: (disk) => dense(disk, bytes),
      change: (disk) => changeRuns(disk, 20, 'changes'),
    },
    {
      title: 'a day of PostgreSQL',
      keepers: [gantry('raw'), RESTIC, BORG],
      make: async (disk) => {
        const made = await makePostgresDisk(disk, directory.path);
        postgres.day = () => made.day(0);
      },
      change: async () => await postgres.day?.(),
    },
    {
      title: 'a tar, its first file grown',
      keepers: [gantry('cat'), RESTIC, BORG],
      make: (disk) => makeTar(disk, 100_000),
      change: (disk) => makeTar(disk, 1_300_000),
    },
  ];
  const rows = ['| change | tool | second run | MiB/s | CPU | new bytes |', '| --- | --- | --- | --- | --- | --- |'];
  for (const change of changes) rows.push(...(await contest(change)));
  console.log(rows.join('\n'));
  if (values.docs) await replaceBetween(PAGE, 'bench/src/lineages.ts goals --docs', rows.join('\n'));
}

/** All tools keep the disk, it changes, all keep it again. */
async function contest({ title, keepers, make, change }: Change): Promise<readonly string[]> {
  const disk = directory.file('disk.img');
  await make(disk);
  const { size } = await stat(disk);
  for (const keeper of keepers) {
    const own = ownOf(keeper);
    await rm(own, { recursive: true, force: true });
    await mkdir(own, { recursive: true });
    await keeper.prepare(disk, own);
    await measure(keeper.keep(disk, 1), { cwd: own, env: keeper.environment });
  }
  await change(disk);
  await execa('cat', [disk], { stdout: 'ignore' });
  const rows: string[] = [];
  for (const keeper of keepers) {
    const own = ownOf(keeper);
    const before = await storedBytes(own);
    await execa('sync');
    const sample = await measure(keeper.keep(disk, 2), { cwd: own, env: keeper.environment });
    const added = (await storedBytes(own)) - before;
    const rate = Math.round(size / MIB / sample.wall);
    rows.push(`| ${title} | ${keeper.name} | ${sample.wall.toFixed(2)} s | ${rate} | ${sample.cpu?.toFixed(1) ?? '?'} s | ${mib(added)} |`);
    console.error(rows.at(-1));
  }
  await rm(disk);
  return rows;
}

/** Daily exports of a disk, of which the last seven are kept. */
async function month(count: number): Promise<void> {
  const keepers = [gantry('raw'), RESTIC];
  const disk = directory.file('disk.img');
  const postgres = await makePostgresDisk(disk, directory.path);
  for (const keeper of keepers) {
    await mkdir(ownOf(keeper), { recursive: true });
    await keeper.prepare(disk, ownOf(keeper));
  }
  const stored = keepers.map(({ name }) => ({ name, values: [] as number[] }));
  for (let day = 0; day < count; day += 1) {
    if (day > 0) await postgres.day(day - 1);
    for (const [index, keeper] of keepers.entries()) {
      const where = { cwd: ownOf(keeper), env: keeper.environment };
      await measure(keeper.keep(disk, day), where);
      await measure(keeper.prune?.(7) ?? ':', where);
      stored[index]?.values.push((await storedBytes(ownOf(keeper))) / MIB);
    }
    console.error(`day ${day + 1}: ${stored.map(({ name, values }) => `${name} ${values.at(-1)?.toFixed(0) ?? '?'} MiB`).join(', ')}`);
  }
  const rows = ['| stored | day 1 | day 7 | last day | highest |', '| --- | --- | --- | --- | --- |'];
  for (const { name, values } of stored) {
    const figures = [values[0], values[6], values.at(-1), Math.max(...values)].map((value) => mib((value ?? 0) * MIB));
    rows.push(`| ${name} | ${figures.join(' | ')} |`);
  }
  console.log(rows.join('\n'));
  const title = `Stored MiB over ${count} days, the last seven exports kept`;
  if (values.docs) {
    await writeFile(CHART, lineChart(title, stored));
    await replaceBetween(PAGE, 'bench/src/lineages.ts days --docs', rows.join('\n'));
  }
}

function ownOf({ name }: Keeper): string {
  return directory.file(name.replaceAll(/\W+/g, '-'));
}

async function storedBytes(own: string): Promise<number> {
  const { stdout } = await execa('du', ['-sb', join(own, 'repository')], { reject: false });
  return Number(stdout.split('\t')[0] ?? 0);
}

async function dense(disk: string, bytes: number): Promise<void> {
  await makeDataSet('dense', bytes, disk);
}

/** A tar of this machine's programs after one file of that many bytes. */
async function makeTar(path: string, firstBytes: number): Promise<void> {
  await rm(path, { force: true });
  await makeRandomFile(directory.file('first'), firstBytes, 'first');
  const line =
    'tar -cf "$1" -C "$2" first && tar -rf "$1" -C / usr/bin usr/sbin usr/share/perl usr/lib/python3 2>/dev/null || [ $? -le 1 ]';
  await execa('bash', ['-c', line, 'tar', path, directory.path]);
}

function mib(bytes: number): string {
  return bytes < MIB ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / MIB).toFixed(1)} MiB`;
}
