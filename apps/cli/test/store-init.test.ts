import { mkdir, readdir, rm } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { jsonLines, lastLine, makeWorkbench } from './workbench.ts';

let bench: Workbench;
let source: string;

beforeEach(async () => {
  bench = await makeWorkbench({ GANTRY_CREATE_STORE: '' });
  await makeRandomFile(bench.file('disk.img'), 4096, 'seed');
  source = await bench.describeInstance('web1', { disks: [bench.file('disk.img')] });
  return () => bench[Symbol.asyncDispose]();
});

describe('an export', () => {
  test('into an empty directory, such as a mount point, is refused and writes nothing', async () => {
    const outcome = await bench.gantry('export', source, bench.store);
    expect(outcome.exitCode).toBe(8);
    expect(outcome.stderr).toMatch(/STORE_NOT_FOUND[^]*gantry store init 'file:[^]*--create-store/);
    expect(await readdir(bench.store)).toEqual([]);
  });

  test('into a directory that does not exist is refused and creates none', async () => {
    await rm(bench.store, { recursive: true });
    const outcome = await bench.gantry('export', source, bench.store);
    expect(outcome.exitCode).toBe(8);
    expect(outcome.stderr).toMatch(/its directory does not exist .*STORE_NOT_FOUND/);
    await expect(readdir(bench.store)).rejects.toThrow('ENOENT');
  });

  test('creates a store with --create-store or GANTRY_CREATE_STORE=1, and needs neither if there is one', async () => {
    expect(await bench.gantry('export', source, bench.store, '--create-store')).toMatchObject({ exitCode: 0 });
    expect(await bench.gantry('export', source, bench.store)).toMatchObject({ exitCode: 0 });
    await using other = await makeWorkbench({ GANTRY_CREATE_STORE: '1' });
    expect(await other.gantry('export', source, other.store)).toMatchObject({ exitCode: 0 });
    await using wrong = await makeWorkbench({ GANTRY_CREATE_STORE: 'maybe' });
    expect(await wrong.gantry('export', source, wrong.store)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('GANTRY_CREATE_STORE must be 1, 0 or unset: it is "maybe"'),
    });
  });

  test('goes into a store of an earlier version, which has exports and no marker', async () => {
    expect(await bench.gantry('export', source, bench.store, '--create-store')).toMatchObject({ exitCode: 0 });
    await rm(`${bench.store}/gantry-store.json`);
    expect(await bench.gantry('export', source, bench.store)).toMatchObject({ exitCode: 0 });
    expect(await readdir(bench.store)).toEqual(['web1']);
  });
});

describe('gantry store init', () => {
  test('creates a store, and says so if it is one already', async () => {
    await rm(bench.store, { recursive: true });
    const first = await bench.gantry('store', 'init', bench.store, '--json');
    const [made] = jsonLines(first.stdout);
    expect(made).toMatchObject({ type: 'result', operation: 'store-init', created: true, store: `file://${bench.store}` });
    expect(await readdir(bench.store)).toEqual(['gantry-store.json']);
    const second = await bench.gantry('store', 'init', bench.store);
    expect(second).toMatchObject({ exitCode: 0, stdout: `file://${bench.store} is already a store` });
    const reference = lastLine((await bench.gantry('export', source, bench.store)).stdout);
    expect(reference).toMatch(/^web1@/);
    expect((await bench.gantry('list', bench.store)).stdout).toContain(reference);
  });

  test('creates no tree of directories for a mistyped path', async () => {
    const outcome = await bench.gantry('store', 'init', bench.file('no', 'such', 'place'));
    expect(outcome).toMatchObject({
      exitCode: 8,
      stderr: expect.stringMatching(
        /cannot create .*\/place: its parent directory .*\/such does not exist \[STORE_NOT_FOUND\]\n.*mkdir -p/,
      ),
    });
    await mkdir(bench.file('no'));
    expect(await bench.gantry('store', 'init', bench.file('no', 'such'))).toMatchObject({ exitCode: 0 });
  });
});
