import { readFile, writeFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { prometheusText } from '@gantry/programs';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { createOutput } from '../src/command-line/output.ts';
import { createProgram } from '../src/command-line/program.ts';
import { figuresOf } from '../src/view/figures.ts';
import { NOW, sampleFleet } from './sample-fleet.ts';

/*
 * What docs/reference/fleet.md and docs/how-to/exports-of-a-fleet.md say of commands, figures and alerts.
 */

const reference = await readFile(new URL('../../../docs/reference/fleet.md', import.meta.url), 'utf8');
const howTo = await readFile(new URL('../../../docs/how-to/exports-of-a-fleet.md', import.meta.url), 'utf8');

async function sampleFigures(): Promise<ReturnType<typeof figuresOf>> {
  await using fleet = sampleFleet();
  const maxAges = new Map([['nightly', 26 * 3_600_000]]);
  return figuresOf({ status: await fleet.status(), good: await fleet.good(), maxAges, now: NOW });
}

test('the page has each command', () => {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const output = createOutput({ json: false, stdout, stderr });
  const program = createProgram({ env: {}, cwd: '/', signal: AbortSignal.abort(), stdin, output, exitWith: () => undefined });
  const named = [...reference.matchAll(/^\| `([a-z]+)[^`]*` +\|/gm)].map(([, name = '']) => name);
  const all = program.commands.map((command) => command.name()).filter((name) => name !== 'resume');
  expect(named.toSorted()).toEqual(all.toSorted());
});

test('the page has each figure; promtool finds nothing wrong with them', async () => {
  const figures = await sampleFigures();
  const named = [...reference.matchAll(/`(gantry_fleet_[a-z_]+)`/g)].map(([, name = '']) => name);
  expect([...new Set(named)].toSorted()).toEqual(figures.map(({ name }) => name).toSorted());
  const text = prometheusText(figures);
  expect(text).toContain('gantry_fleet_plan_problems 1\n');
  expect(text).toContain('gantry_fleet_exports{policy="nightly",state="failed"} 2\n');
  expect(text).toContain('gantry_fleet_waiting{for="store"} 1\n');
  expect(text).toContain('gantry_fleet_node_paused{node="node3"} 1\n');
  // One that no policy selects any more has no alert.
  expect(text).toMatch(/^gantry_fleet_export_timestamp_seconds\{policy="nightly",instance="mail\.example\.com"\} \d+$/m);
  expect(text).not.toContain('removed.example.com');
  await execa('promtool', ['check', 'metrics'], { input: text });
});

test('the alerts notice what is late, what failed and what nobody plans, and nothing else', async () => {
  await using home = await makeTemporaryDirectory();
  const [, rules = ''] = /```yaml\n(groups:[^]*?)```/.exec(howTo) ?? [];
  await writeFile(home.file('rules.yaml'), rules);
  await execa('promtool', ['check', 'rules', home.file('rules.yaml')]);
  // After 30 hours, web1 was exported an hour ago, and web2 never again; then: exports of the policy weekly fail.
  await writeFile(
    home.file('test.yaml'),
    `
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1h
    input_series:
      - { series: 'gantry_fleet_policy_max_age_seconds{policy="nightly"}', values: '93600x40' }
      - { series: 'gantry_fleet_export_timestamp_seconds{policy="nightly",instance="web1"}', values: '0x28 104400x40' }
      - { series: 'gantry_fleet_export_timestamp_seconds{policy="nightly",instance="web2"}', values: '0x40' }
      - { series: 'gantry_fleet_export_failed{policy="nightly",instance="web1"}', values: '0x40' }
      - { series: 'gantry_fleet_plan_age_seconds', values: '30x40' }
      - { series: 'gantry_fleet_plan_problems', values: '0x40' }
    alert_rule_test:
      - { eval_time: 30h, alertname: GantryFleetExportLate, exp_alerts: [{ exp_labels: { policy: nightly, instance: web2 } }] }
      - { eval_time: 30h, alertname: GantryFleetExportsFailed, exp_alerts: [] }
      - { eval_time: 30h, alertname: GantryFleetNotPlanned, exp_alerts: [] }
      - { eval_time: 30h, alertname: GantryFleetMissed, exp_alerts: [] }
      - { eval_time: 30h, alertname: GantryFleetUnknown, exp_alerts: [] }
  - interval: 1m
    input_series:
      - { series: 'gantry_fleet_plan_age_seconds', values: '3600x90' }
      - { series: 'gantry_fleet_findings{policy="nightly",kind="missed"}', values: '2x90' }
      - { series: 'gantry_fleet_export_failed{policy="weekly",instance="db1"}', values: '1x90' }
    alert_rule_test:
      - { eval_time: 90m, alertname: GantryFleetExportsFailed, exp_alerts: [{ exp_labels: { policy: weekly } }] }
      - { eval_time: 30m, alertname: GantryFleetNotPlanned, exp_alerts: [{}] }
      - { eval_time: 30m, alertname: GantryFleetMissed, exp_alerts: [{ exp_labels: { policy: nightly, kind: missed } }] }
      - { eval_time: 30m, alertname: GantryFleetUnknown, exp_alerts: [{}] }
`,
  );
  await execa('promtool', ['test', 'rules', home.file('test.yaml')]);
});
