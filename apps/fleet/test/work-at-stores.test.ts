import { expect, test } from 'vitest';
import { figuresOf } from '../src/view/figures.ts';
import type { Measured } from '../src/view/figures.ts';
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
