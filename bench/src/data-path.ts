/*
 * Counts the functions that each chunk passes through on its way from a script to a bucket: those that ran more often, according to
 * V8's coverage, when an export had more frames. `node --conditions=@gantry/source bench/src/data-path.ts [REPOSITORY]`; another
 * repository is a copy of the sources of another commit, with its `node_modules`.
 */
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { createBucket, makeRandomFile, makeTemporaryDirectory, startCeph } from '@gantry/testkit';
import { execa } from 'execa';

const REPOSITORY = resolve(process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url)));
const FRAME_BYTES = 4 * 1024 * 1024;
/** The number of frames of each export. Random data, so every frame is stored in about its own size. */
const FRAMES = [8, 40, 72] as const;
/** How often a part of a function must run per frame to count as on the way: a part of a bucket's object has at least two frames. */
const MIN_RUNS_PER_FRAME = 0.25;

/** `.set(` of a map counts too: the source text does not show the type. */
const MAY_COPY = /\.set\(|\.copy\(|Buffer\.concat\(|Buffer\.from\((?!.*buffer)|\.copyWithin\(|\.slice\(\)/g;
/** Files that show progress and check who uses the disk: not on the way of the data. */
const BESIDE = /^apps\/cli\/|^packages\/core\/src\/(?:disks|raw)\//;

const ABORT_RACE = /\b(?:abortable|orAbort|untilAborted)\(|\.race\(/g;
const ASYNC_GENERATOR = /^(?:static )?async ?(?:function)? ?\*/;

interface CoveredFunction {
  readonly functionName: string;
  readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
}

/** How often the busiest part of each function of the repository ran, by file and position. */
type Runs = ReadonlyMap<string, number>;

await using directory = await makeTemporaryDirectory();
await using ceph = await startCeph();
await createBucket(ceph, 'path');

const [few, some, many] = [await runsOf(FRAMES[0]), await runsOf(FRAMES[1]), await runsOf(FRAMES[2])];
const onTheWay = [...many.keys()].filter((place) => {
  const [a, b, c] = [few, some, many].map((runs) => runs.get(place) ?? 0);
  return Math.min(grows(a, b, FRAMES[1] - FRAMES[0]), grows(b, c, FRAMES[2] - FRAMES[1])) >= MIN_RUNS_PER_FRAME;
});
const byFile = Map.groupBy(onTheWay, (place) => place.split(':')[0] ?? '');
const totals = { files: byFile.size, functions: onTheWay.length, asyncGenerators: 0, mayCopy: 0, abortRaces: 0 };
for (const [file, places] of [...byFile].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
  const source = await readFile(join(REPOSITORY, file), 'utf8');
  const bodies = places.map((place) => source.slice(...rangeOf(place)));
  const count = (pattern: RegExp): number => bodies.reduce((sum, body) => sum + [...body.matchAll(pattern)].length, 0);
  const generators = bodies.filter((body) => ASYNC_GENERATOR.test(body)).length;
  totals.asyncGenerators += generators;
  totals.mayCopy += count(MAY_COPY);
  totals.abortRaces += count(ABORT_RACE);
  process.stdout.write(
    `${file}: ${places.length} functions, ${generators} async generators, ${count(MAY_COPY)} may copy, ${count(ABORT_RACE)} races\n`,
  );
}
process.stdout.write(`${JSON.stringify(totals)}\n`);

function grows(before = 0, after = 0, frames = 1): number {
  return (after - before) / frames;
}

function rangeOf(place: string): [number, number] {
  const [, start = '', end = ''] = place.split(':');
  return [Number(start), Number(end)];
}

/** Exports a disk of `frames` frames by a script into the bucket, and counts what runs in all threads of the command. */
async function runsOf(frames: number): Promise<Runs> {
  const coverage = directory.file(`coverage-${frames}`);
  await makeRandomFile(directory.file('disk.img'), frames * FRAME_BYTES, 'path');
  await defineCat(directory.file('os', 'cat'));
  await writeFile(directory.file('path.yaml'), 'name: path\nos: cat\nhypervisor: kvm\ndisks:\n  - path: disk.img\n');
  const address = `s3://path/${frames}?endpoint=${ceph.endpoint}`;
  const main = join(REPOSITORY, 'apps/cli/src/main.ts');
  await execa(process.execPath, ['--conditions=@gantry/source', main, 'export', 'path.yaml', address, '--snapshot', 'none'], {
    cwd: directory.path,
    env: {
      NODE_V8_COVERAGE: coverage,
      GANTRY_OS_PATH: directory.file('os'),
      GANTRY_STATE_DIR: directory.file('state'),
      GANTRY_CREATE_STORE: '1',
      AWS_ACCESS_KEY_ID: ceph.accessKeyId,
      AWS_SECRET_ACCESS_KEY: ceph.secretAccessKey,
      UV_THREADPOOL_SIZE: '6',
    },
  });
  return await readRuns(coverage);
}

async function defineCat(home: string): Promise<void> {
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'ganeti_api_version'), '15\n');
  for (const [name, body] of Object.entries({
    create: 'exit 0',
    import: 'cat >"$IMPORT_DEVICE"',
    export: 'cat "$EXPORT_DEVICE"',
    rename: 'exit 0',
  }))
    await writeFile(join(home, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  await writeFile(join(home, 'variants.list'), 'default\n');
}

async function readRuns(coverage: string): Promise<Runs> {
  const runs = new Map<string, number>();
  for (const name of await readdir(coverage)) {
    const { result }: { result: { url: string; functions: CoveredFunction[] }[] } = JSON.parse(
      await readFile(join(coverage, name), 'utf8'),
    );
    for (const { url, functions } of result) {
      const prefix = `file://${REPOSITORY}/`;
      if (!url.startsWith(prefix) || url.includes('/node_modules/') || BESIDE.test(url.slice(prefix.length))) continue;
      for (const { ranges, functionName } of functions) {
        const [range] = ranges;
        if (range === undefined || (functionName === '' && range.startOffset === 0)) continue;
        const place = `${url.slice(prefix.length)}:${range.startOffset}:${range.endOffset}`;
        runs.set(place, (runs.get(place) ?? 0) + Math.max(...ranges.map(({ count }) => count)));
      }
    }
  }
  return runs;
}
