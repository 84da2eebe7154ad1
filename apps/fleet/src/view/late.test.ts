import { expect, test } from 'vitest';
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
});
