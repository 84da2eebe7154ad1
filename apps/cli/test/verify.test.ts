import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { exportDirectory, lastLine, makeWorkbench } from './workbench.ts';

let bench: Workbench;
let references: readonly string[];

beforeEach(async () => {
  bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk.img'), 4096, 'seed');
  const made: string[] = [];
  for (const name of ['web1', 'web2']) {
    const source = await bench.describeInstance(name, { disks: [bench.file('disk.img')] });
    made.push(lastLine((await bench.gantry('export', source, bench.store, '--codec', 'none')).stdout));
  }
  references = made;
});

afterEach(() => bench[Symbol.asyncDispose]());

test('verifies a share of a store, then the rest, and names what is damaged at the end', async () => {
  const [, second = ''] = references;
  const dump = `${exportDirectory(bench, second)}/disk0.img`;
  await writeFile(dump, (await readFile(dump)).fill(1, 0, 100));
  const first = await bench.gantry('verify', bench.store, '--budget', '1K');
  expect(first).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^1 export verified .*: every digest is correct\n1 left for later runs/),
  });
  const then = await bench.gantry('verify', bench.store, '--budget', '1%', '--quiet');
  expect(then).toMatchObject({ exitCode: 7, stderr: '' });
  const lines = then.stdout.split('\n');
  expect(lines[0]).toMatch(new RegExp(`^${second} is damaged: disk0\\.img .*SHA-256 mismatch.* \\[DUMP_DAMAGED\\]$`));
  expect(lines[1]).toMatch(/^1 export verified .*: 1 damaged$/);
});

test('says how many of what it verified are packs of removed exports', async () => {
  const source = await bench.describeInstance('web3', { disks: [bench.file('disk.img')] });
  const incremental = ['export', source, bench.store, '--codec', 'none', '--incremental'];
  const first = lastLine((await bench.gantry(...incremental)).stdout);
  await bench.gantry(...incremental);
  expect(await bench.gantry('remove', bench.store, first)).toMatchObject({ exitCode: 0 });
  const { stdout } = await bench.gantry('verify', bench.store);
  expect(stdout).toMatch(/^3 exports and the packs of 1 removed export verified /);
});

test('rehearses an export, and leaves nothing of it', async () => {
  const [first = ''] = references;
  await mkdir(bench.file('scratch'));
  const { exitCode, stdout } = await bench.gantry('verify', bench.store, first, '--rehearse', bench.file('scratch'));
  expect({ exitCode, stdout }).toEqual({
    exitCode: 0,
    stdout: `disk 0: imported, and exporting it again gives the same bytes\n${first}: restored into scratch disks (4.00 KiB)`,
  });
  expect(await readdir(bench.file('scratch'))).toEqual([]);
  expect(await bench.journal()).toEqual([]);
});

test.each([
  [['web1', '--budget', '5%'], '--budget is for all exports'],
  [['--depth', 'stored', '--rehearse', '/tmp'], '--rehearse has no --depth'],
  [['--budget', '0%'], 'It must be a size'],
  [['--budget', '101%'], 'It must be a size'],
  [['--depth', 'deep'], 'Allowed choices'],
])('refuses %j', async (options, message) => {
  const { exitCode, stderr } = await bench.gantry('verify', bench.store, ...options);
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(message) });
});
