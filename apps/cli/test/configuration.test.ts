import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { makeWorkbench } from './workbench.ts';

let bench: Workbench;

beforeAll(async () => {
  bench = await makeWorkbench();
});

afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

test('a command takes the name of a store or an inventory where it takes an address', async () => {
  const disk = bench.file('disk');
  await writeFile(disk, 'content of a disk\n');
  const instance = await bench.describeInstance('web1', { disks: [disk] });
  await writeFile(bench.file('gantry.yaml'), `stores: { nightly: { url: ${bench.store} } }\ninventories: { here: . }\n`);
  const config = ['--config', bench.file('gantry.yaml')];
  await bench.gantry('export', instance, bench.store);
  expect((await bench.gantry(...config, 'list', 'nightly')).stdout).toContain('web1@');
  expect((await bench.gantry('list', 'nightly', ...config)).stdout).toContain('web1@');
  expect((await bench.gantry('instances', 'here', ...config)).stdout).toContain('web1');
});

test('--config that is wrong is said with its place', async () => {
  await writeFile(bench.file('bad.yaml'), 'stores:\n  nightly: { ulr: /srv }\n');
  const { exitCode, stderr } = await bench.gantry('list', 'nightly', '--config', bench.file('bad.yaml'));
  expect(exitCode).toBe(2);
  expect(stderr).toContain('bad.yaml:2:');
  expect(stderr).toContain('[CONFIGURATION_INVALID]');
});
