import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { makeWorkbench } from './workbench.ts';

const NAME = 'web1.example.com';
const FRAME_BYTES = 4 * 1024 * 1024;

let bench: Workbench;
let web: string;

beforeAll(async () => {
  bench = await makeWorkbench();
  web = await bench.describeInstance(NAME, { os: 'raw', disks: [bench.file('disk.img')] });
});

afterAll(() => bench[Symbol.asyncDispose]());

/** Exports a disk whose frames have these letters. */
async function exported(letters: string): Promise<string> {
  await writeFile(bench.file('disk.img'), Buffer.concat(letters.split('').map((letter) => Buffer.alloc(FRAME_BYTES, letter))));
  const { exitCode, stdout, stderr } = await bench.gantry('export', '--incremental', web, bench.store);
  expect(exitCode, stderr).toBe(0);
  return stdout.trim();
}

async function prune(...options: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await bench.gantry('prune', bench.store, ...options);
  expect(exitCode, stderr).toBe(0);
  return stdout;
}

test('exports go by a policy, the dumps that nothing needs with the next run, and what is kept is imported as it was', async () => {
  expect(await bench.gantry('store', 'init', bench.store)).toMatchObject({ exitCode: 0 });
  const first = await exported('ab');
  const second = await exported('ac');
  const third = await exported('ad');
  const dry = await prune('--keep-last', '1', '--dry-run');
  expect(dry.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['EXPORT', 'DECISION', 'WHY'],
    [third, 'keep', 'newest, last'],
    [second, 'remove'],
    [first, 'remove'],
    [''],
    [expect.stringMatching(/^2 exports would be removed, 1 kept; 0 B of dumps would be deleted, .+ go with the next prune$/)],
  ]);
  expect(await prune('--keep-last', '1')).toMatch(`removed ${second}\nremoved ${first}\n2 exports removed, 1 kept; 0 B of dumps deleted`);
  const packs = async (): Promise<readonly string[]> => (await bench.stored()).filter((name) => name.endsWith('.zst'));
  expect(await packs()).toHaveLength(3);
  expect(await prune()).toMatch(/^0 exports removed, 1 kept; .+ of dumps deleted, 0 B go with the next prune$/);
  // The first has the frame that did not change.
  const place = (reference: string): string => reference.replace('@', '/');
  expect(await packs()).toEqual([`${place(first)}/disk0.zst`, `${place(third)}/disk0.pack.zst`].toSorted());
  const { stdout } = await bench.gantry('list', bench.store);
  expect(stdout).toMatch(/of a removed export are kept for others; gantry prune deletes what nothing needs/);
  await writeFile(bench.file('disk.img'), Buffer.alloc(2 * FRAME_BYTES));
  expect(await bench.gantry('import', bench.store, third, '--to', web, '--yes')).toMatchObject({ exitCode: 0 });
  const disk = await readFile(bench.file('disk.img'));
  expect(disk.equals(Buffer.concat([Buffer.alloc(FRAME_BYTES, 'a'), Buffer.alloc(FRAME_BYTES, 'd')]))).toBe(true);
  expect((await bench.gantry('verify', bench.store, third)).exitCode).toBe(0);
});

test('while a manifest cannot be read, no dump is marked, and the exit status is 7', async () => {
  const reference = await exported('ef');
  const newest = await exported('gh');
  const file = join(bench.store, reference.replace('@', '/'), 'manifest.json');
  await writeFile(file, '{');
  const { exitCode, stdout, stderr } = await bench.gantry('prune', bench.store, '--keep-last', '1');
  expect(exitCode).toBe(7);
  expect(stderr).toMatch(/no dump was deleted, because other exports may refer to them: manifest\.json of .* is damaged/);
  expect(stdout).toMatch(/0 B of dumps deleted, 0 B go with the next prune/);
  expect((await bench.gantry('verify', bench.store, newest)).exitCode).toBe(0);
});

test.each([
  ['--keep-last', '0', /must be a whole number, 1 or more, or: unlimited/],
  ['--keep-within', '3w', /must be a duration such as 1y6m14d12h/],
  ['--keep-within', '', /must be a duration/],
  ['--keep-tag', 'a,', /must be a tag/],
])('%s %j is refused', async (option, value, why) => {
  expect(await bench.gantry('prune', bench.store, option, value)).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(why) });
});
