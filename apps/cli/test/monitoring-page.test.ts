import { readFile, writeFile } from 'node:fs/promises';
import { loadConfiguration } from '@gantry/config';
import { makeRandomFile } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PLUGIN_STATES } from '../src/monitoring/plugin.ts';
import type { Workbench } from './workbench.ts';
import { makeWorkbench } from './workbench.ts';

/*
 * What docs/how-to/monitoring.md says, done.
 */

const page = await readFile(new URL('../../../docs/how-to/monitoring.md', import.meta.url), 'utf8');
const yaml = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, body = '']) => body);
const rules = yaml.find((block) => block.startsWith('groups:')) ?? '';
const settings = yaml.filter((block) => block !== rules);

let bench: Workbench;

beforeAll(async () => {
  bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk'), 4096, 'seed');
  await bench.describeInstance('web1', { disks: [bench.file('disk')] });
});

afterAll(() => bench[Symbol.asyncDispose]());

test('every setting on the page is valid in gantry.yaml', async () => {
  expect(settings).toHaveLength(3);
  for (const block of settings) {
    await writeFile(bench.file('one.yaml'), block);
    const { notify, metrics } = await loadConfiguration({ env: {}, cwd: bench.path, file: 'one.yaml' });
    expect(notify !== undefined || metrics.otlp !== undefined || metrics.textfile !== undefined).toBe(true);
  }
});

test('a run, its figures, its mail, the status and the report work as the page has them', async () => {
  const textfile = bench.file('gantry.prom');
  const config = `
stores: { nightly: { url: exports } }
policies: { web: { instances: web1.yaml, stores: nightly, max-age: 26h } }
notify: { on: always, command: [/usr/bin/tee, ${bench.file('told')}] }
metrics: { textfile: ${textfile} }`;
  await writeFile(bench.file('gantry.yaml'), config);
  const gantry = (...args: readonly string[]): ReturnType<Workbench['gantry']> =>
    bench.gantry('--config', bench.file('gantry.yaml'), ...args);
  expect(await gantry('status')).toMatchObject({ exitCode: 17, stdout: expect.stringMatching(/web1 +nightly +missing/) });
  expect(await gantry('run', 'web')).toMatchObject({ exitCode: 0 });
  expect(JSON.parse(await readFile(bench.file('told'), 'utf8'))).toMatchObject({
    policy: 'web',
    outcome: 'done',
    ended: expect.any(String),
  });
  const figures = await readFile(textfile, 'utf8');
  expect(figures).toContain('gantry_run_success{policy="web"} 1\n');
  expect(figures).toMatch(/^gantry_export_stored_bytes\{policy="web",instance="web1",store="nightly"\} \d+$/m);
  expect(await gantry('status')).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/web1 +nightly +good[^]*web: last run 0 min ago \(done\)/),
  });
  expect(await gantry('status', '--check', 'web')).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^GANTRY OK - /) });
  expect(await gantry('report', 'nightly', '--out', bench.file('gantry.html'))).toMatchObject({ exitCode: 0 });
  // Nothing is left to export, and the disk is gone: the run says that, too.
  await writeFile(bench.file('web1.yaml'), 'name: web1\nos: raw\nhypervisor: kvm\ndisks: [{ path: gone }]\n');
  expect((await gantry('run', 'web', '--again')).exitCode).toBeGreaterThan(0);
  expect(JSON.parse(await readFile(bench.file('told'), 'utf8'))).toMatchObject({ outcome: 'failed' });
  expect(await readFile(textfile, 'utf8')).toMatch(/gantry_run_success\{policy="web"\} 0\n[^]*gantry_export_failed\{[^}]*\} 1\n/);
});

test('the states of --check are those in the table', () => {
  const table = [...page.matchAll(/^\| (\d) +\| ([A-Z]+) +\|/gm)].map(([, code, state]) => [state, Number(code)]);
  expect(Object.fromEntries(table)).toEqual(PLUGIN_STATES);
});

describe('the rules for Prometheus', () => {
  test('notice what is late, and nothing else', async () => {
    await writeFile(bench.file('rules.yaml'), rules);
    await execa('promtool', ['check', 'rules', bench.file('rules.yaml')]);
    // After 30 hours, web1 was exported an hour ago, and web2 never again.
    await writeFile(
      bench.file('test.yaml'),
      `
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1h
    input_series:
      - { series: 'gantry_policy_max_age_seconds{policy="web"}', values: '93600x40' }
      - { series: 'gantry_export_timestamp_seconds{policy="web",instance="web1",store="nightly"}', values: '0x28 104400x40' }
      - { series: 'gantry_export_timestamp_seconds{policy="web",instance="web2",store="nightly"}', values: '0x40' }
      - { series: 'gantry_run_success{policy="web"}', values: '1x40' }
      - { series: 'gantry_run_start_timestamp_seconds{policy="web"}', values: '0x28 104400x40' }
    alert_rule_test:
      - { eval_time: 30h, alertname: GantryExportLate, exp_alerts: [{ exp_labels: { policy: web, instance: web2, store: nightly } }] }
      - { eval_time: 30h, alertname: GantryRunFailed, exp_alerts: [] }
      - { eval_time: 30h, alertname: GantryDoesNotRun, exp_alerts: [] }
`,
    );
    await execa('promtool', ['test', 'rules', bench.file('test.yaml')]);
  });
});
