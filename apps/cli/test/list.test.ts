import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { beforeEach, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { exportDirectory, jsonLines, lastLine, makeWorkbench } from './workbench.ts';

let bench: Workbench;
let reference: string;

beforeEach(async () => {
  bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk.img'), 4096, 'seed');
  const source = await bench.describeInstance('web1.example.com', { disks: [bench.file('disk.img')] });
  reference = lastLine((await bench.gantry('export', source, bench.store)).stdout);
  return () => bench[Symbol.asyncDispose]();
});

test('shows when an export was verified, what it takes, and totals', async () => {
  const before = await bench.gantry('list', bench.store);
  expect(before).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(new RegExp(`^${reference} +complete .* never$`, 'm')) });
  expect(before.stdout).toMatch(/\n\n1 export of 1 instance: 4\.00 KiB plain, [0-9.]+ KiB stored$/);
  expect(await bench.gantry('verify', bench.store, reference)).toMatchObject({ exitCode: 0 });
  expect((await bench.gantry('list', bench.store)).stdout).toMatch(new RegExp(`^${reference} +complete .* 0 min \\(frames\\)$`, 'm'));
  const result = jsonLines((await bench.gantry('list', bench.store, '--json')).stdout).at(-1);
  expect(result).toMatchObject({
    exports: [{ reference, ownBytes: expect.any(Number), verified: { depth: 'frames', result: 'sound', at: expect.any(String) } }],
    removed: [],
    totals: { exports: 1, instances: 1, plainBytes: 4096 },
  });
});

test('calls an export damaged that a verification found so, although names and sizes are right', async () => {
  const dump = `${exportDirectory(bench, reference)}/disk0.zst`;
  const bytes = await readFile(dump);
  await writeFile(dump, bytes.fill(1, 100, 200));
  expect(await bench.gantry('list', bench.store)).toMatchObject({ exitCode: 0 });
  expect(await bench.gantry('verify', bench.store, '--json')).toMatchObject({ exitCode: 7 });
  const { exitCode, stdout } = await bench.gantry('list', bench.store);
  expect(exitCode).toBe(7);
  expect(stdout).toMatch(new RegExp(`\n\n${reference} is damaged: its verification of .* found: disk0\\.zst .*SHA-256 mismatch`));
});

test('exits with 7 if an export is damaged, and says why below the table', async () => {
  await truncate(`${exportDirectory(bench, reference)}/disk0.zst`, 5);
  await mkdir(`${bench.store}/web2/20260101T000000Z`, { recursive: true });
  await writeFile(`${bench.store}/web2/20260101T000000Z/SHA256SUMS`, '');
  const { exitCode, stdout } = await bench.gantry('list', bench.store);
  expect(exitCode).toBe(7);
  expect(stdout).toMatch(new RegExp(`\n\n${reference} is damaged: .*disk0.zst[^]*\nweb2@20260101T000000Z is damaged: `));
  const json = await bench.gantry('list', bench.store, '--json');
  expect(json.exitCode).toBe(7);
  expect(jsonLines(json.stdout).at(-1)).toMatchObject({
    type: 'result',
    damaged: 2,
    exports: [
      { reference, exportId: reference.split('@')[1], state: 'damaged', reason: expect.stringContaining('disk0.zst') },
      { reference: 'web2@20260101T000000Z', state: 'damaged' },
    ],
  });
});

test('shows an export within 80 columns, its digests as sha256sum prints them', async () => {
  const { stdout } = await bench.gantry('show', bench.store, reference);
  for (const line of stdout.split('\n')) expect(line.length).toBeLessThan(80);
  const sums = await readFile(`${exportDirectory(bench, reference)}/SHA256SUMS`, 'utf8');
  const digest = sums.split('\n').find((line) => line.endsWith('disk0.zst'));
  expect(stdout).toContain(`\n\nSHA-256\n${digest}`);
});

test('says below the table of OS definitions why one is invalid', async () => {
  const broken = bench.file('os', 'broken');
  await mkdir(broken, { recursive: true });
  await writeFile(`${broken}/ganeti_api_version`, '99\n');
  const { exitCode, stdout } = await bench.gantry('os', 'list');
  expect(exitCode).toBe(0);
  const [table = '', reasons] = stdout.split('\n\n');
  expect(table).toMatch(/^broken +INVALID +- +- +\//m);
  expect(table).not.toContain('missing');
  expect(reasons).toMatch(/^broken is invalid: .*API version 99.*\nbroken is invalid: create is missing/);
});

test('suggests similar instances for a name without exports', async () => {
  const { exitCode, stdout, stderr } = await bench.gantry('list', bench.store, 'web1', '--quiet');
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `no exports of web1 in file://${bench.store}` });
  expect(stderr).toBe('warning: there are no exports of web1, but of web1.example.com');
  expect((await bench.gantry('show', bench.store, 'web1')).stderr).toContain('Did you mean web1.example.com?');
});

test('warns that an empty directory is not a store: a file system may not be mounted', async () => {
  await rm(bench.store, { recursive: true });
  await mkdir(bench.store);
  expect(await bench.gantry('list', bench.store)).toMatchObject({
    exitCode: 0,
    stderr: expect.stringMatching(/^warning: there is no store at .*gantry store init/),
  });
});

test('calls the id of an export the same in every command', async () => {
  const id = reference.split('@')[1];
  const show = await bench.gantry('show', bench.store, reference, '--json');
  expect(jsonLines(show.stdout).at(-1)).toMatchObject({ type: 'result', reference, exportId: id });
  expect(jsonLines(show.stdout).at(-1)).not.toHaveProperty('id');
});
