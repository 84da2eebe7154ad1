import { expect, test } from 'vitest';
import { figuresOf } from './figures.ts';
import { lateOf } from './late.ts';

const NOW = new Date('2026-11-28T08:00:00Z');
const DAY_MS = 24 * 3_600_000;

function daysAgo(days: number): Date {
  return new Date(NOW.getTime() - days * DAY_MS);
}

test('what a policy selects is late if its last good export is older than that allows, no matter how long ago it had a job', () => {
  const selected = ['fresh', 'old', 'never', 'new'].map((instance) => ({
    policy: 'nightly',
    instance,
    since: daysAgo(instance === 'new' ? 0.5 : 20),
  }));
  const good = ['fresh', 'old', 'removed'].map((instance) => ({
    policy: 'nightly',
    instance,
    endedOn: daysAgo(instance === 'fresh' ? 0.5 : 9),
    reference: `${instance}@1`,
  }));
  expect(lateOf(selected, good, new Map([['nightly', DAY_MS]]), NOW)).toEqual([
    { policy: 'nightly', instance: 'never', maxAgeMs: DAY_MS, lastGood: undefined, reference: undefined },
    { policy: 'nightly', instance: 'old', maxAgeMs: DAY_MS, lastGood: daysAgo(9), reference: 'old@1' },
  ]);
  expect(lateOf(selected, good, new Map(), NOW)).toEqual([]);
  // The alert of the how-to subtracts the figure: it is about the same instances.
  const status = { nodes: [], paused: [], limits: [], jobs: [], findings: [], turns: [], selected };
  const figures = figuresOf({ status, good, maxAges: new Map(), now: NOW });
  const ends = figures.find(({ name }) => name === 'gantry_fleet_export_timestamp_seconds')?.samples ?? [];
  expect(ends.map(({ labels, value }) => [labels['instance'], (NOW.getTime() / 1000 - value) / (24 * 3600)])).toEqual([
    ['fresh', 0.5],
    ['old', 9],
    ['never', 20],
    ['new', 0.5],
  ]);
});
