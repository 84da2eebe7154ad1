import { expect, test } from 'vitest';
import { figuresOf } from '../src/view/figures.ts';
import type { Measured } from '../src/view/figures.ts';
import { historyPage } from '../src/web/pages/history.ts';
import { overviewPage } from '../src/web/pages/overview.ts';
import { NOW, sampleFleet } from './sample-fleet.ts';

async function measured(): Promise<Measured> {
  await using fleet = sampleFleet();
  return { status: await fleet.status(), good: await fleet.good(), maxAges: new Map([['nightly', 3_600_000]]), now: NOW };
}

test('the pages show what was done at stores, and do not count it among instances', async () => {
  const page = overviewPage(await measured(), 'vault', undefined);
  expect(page).toContain('<a class="row" id="store-nightly-vault" href="/instances/vault">store vault</a>');
  expect(page).toContain('212 verified, 3920 left for later; 14 removed');
  expect(page).not.toContain('late-nightly-vault');
  expect(page).not.toContain('all-nightly-vault');
});

test('figures of work at stores are apart from those of exports', async () => {
  const figures = figuresOf(await measured());
  const samplesOf = (name: string): unknown => figures.find((each) => each.name === name)?.samples;
  const labels = { policy: 'nightly', store: 'vault', state: 'done' };
  expect(samplesOf('gantry_fleet_store_work')).toEqual([{ labels, value: 1 }]);
  for (const name of ['gantry_fleet_export_failed', 'gantry_fleet_export_timestamp_seconds'])
    expect(JSON.stringify(samplesOf(name))).not.toContain('vault');
});

test('a dry run is not taken for a restore that was made, and shows what it would overwrite', async () => {
  const all = await measured();
  const made = all.status.jobs.find(({ work }) => work === 'restore');
  if (made === undefined) throw new Error('the sample has one');
  const message = 'dry run: would overwrite /dev/vg/shop of shop.example.com';
  const dryRun = { ...made, id: 'dry', dryRun: true, output: { ...made.output, message } };
  const restoresOf = (jobs: Measured['status']['jobs']): unknown =>
    figuresOf({ ...all, status: { ...all.status, jobs } }).find(({ name }) => name === 'gantry_fleet_restores')?.samples;
  expect(restoresOf([dryRun])).toBeUndefined();
  expect(restoresOf([made, dryRun])).toEqual([{ labels: { policy: 'nightly', state: 'done' }, value: 1 }]);
  const page = historyPage(made.instance, [made, dryRun], NOW);
  for (const text of ['>restore: done<', '>dry run: done<', `20261126T231500Z: ${message}`]) expect(page).toContain(text);
});
