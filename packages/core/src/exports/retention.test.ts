import { describe, expect, test } from 'vitest';
import type { RetainedExport, RetentionPolicy } from './retention.ts';
import { decideRetention } from './retention.ts';

const NOW = new Date('2026-11-27T12:00:00Z');

function at(time: string, tags: readonly string[] = []): RetainedExport {
  return { id: time, started: new Date(time), tags };
}

/** Every `hours` hours until now, newest last. */
function every(hours: number, count: number): readonly RetainedExport[] {
  return Array.from({ length: count }, (_, index) => at(new Date(NOW.getTime() - (count - index) * hours * 3_600_000).toISOString()));
}

/** The ids of the kept ones, newest first. */
function keptOf(exports: readonly RetainedExport[], policy: RetentionPolicy, now = NOW): readonly string[] {
  return decideRetention(exports, policy, now).flatMap(({ export: { id }, reasons }) => (reasons.length === 0 ? [] : [id]));
}

test('a policy that says nothing keeps everything', () => {
  expect(keptOf(every(24, 5), {})).toHaveLength(5);
  expect(keptOf(every(24, 5), { tags: [] })).toHaveLength(5);
});

test('the newest ones', () => {
  expect(keptOf(every(24, 5), { last: 2 })).toEqual(['2026-11-26T12:00:00.000Z', '2026-11-25T12:00:00.000Z']);
  expect(keptOf(every(24, 5), { last: Infinity })).toHaveLength(5);
});

test('an export of some disks takes no place of one with all, and is not the newest before it', () => {
  const [old, full] = [at('2026-11-25T00:00:00Z'), at('2026-11-26T00:00:00Z')];
  const some = ['2026-11-26T01:00:00Z', '2026-11-26T02:00:00Z'].map((time) => Object.assign(at(time), { someDisks: '0' }));
  expect(keptOf([old, full, ...some], { last: 1 })).toEqual(['2026-11-26T02:00:00Z', full.id]);
  expect(keptOf([old, full, ...some], { daily: 1 })).toEqual(['2026-11-26T02:00:00Z', full.id]);
});

test('the newest of each day that has one, up to a number of days: days without exports do not count', () => {
  const exports = [
    '2026-11-20T01:00:00Z',
    '2026-11-20T02:00:00Z',
    '2026-11-23T01:00:00Z',
    '2026-11-23T23:59:59Z',
    '2026-11-24T00:00:00Z',
  ].map((time) => at(time));
  expect(keptOf(exports, { daily: 2 })).toEqual(['2026-11-24T00:00:00Z', '2026-11-23T23:59:59Z']);
});

test.each([
  ['hourly', { hourly: 3 }, 0.5, 3, 1],
  ['daily', { daily: 3 }, 6, 3, 24],
  ['weekly', { weekly: 3 }, 24, 3, 24 * 7],
] as const)('%s: one of each period, a period apart', (_name, policy, step, count, period) => {
  const kept = keptOf(every(step, 400), policy);
  expect(kept).toHaveLength(count);
  const times = kept.slice(1).map((id) => Date.parse(id));
  for (const [index, time] of times.slice(1).entries()) expect(((times[index] ?? 0) - time) / 3_600_000).toBe(period);
});

test.each([
  // ISO weeks: 2026 has 53, which ends on 2027-01-03.
  ['2026-12-31T00:00:00Z', '2027-01-03T23:59:59Z', 1],
  ['2027-01-03T23:59:59Z', '2027-01-04T00:00:00Z', 2],
  ['2025-12-28T23:59:59Z', '2025-12-29T00:00:00Z', 2],
  ['2025-12-29T00:00:00Z', '2026-01-01T00:00:00Z', 1],
])('weeks are those of ISO 8601: %s and %s', (first, second, weeks) => {
  const exports = [at('2020-01-01T00:00:00Z'), at(first), at(second)];
  expect(keptOf(exports, { weekly: 2 }, new Date('2027-06-01T00:00:00Z'))).toEqual(
    weeks === 1 ? [second, '2020-01-01T00:00:00Z'] : [second, first],
  );
});

test('months and years', () => {
  const exports = [
    '2024-12-31T00:00:00Z',
    '2025-01-01T00:00:00Z',
    '2025-12-01T00:00:00Z',
    '2025-12-31T00:00:00Z',
    '2026-01-01T00:00:00Z',
  ].map((time) => at(time));
  expect(keptOf(exports, { monthly: 2 })).toEqual(['2026-01-01T00:00:00Z', '2025-12-31T00:00:00Z']);
  expect(keptOf(exports, { yearly: 2 })).toEqual(['2026-01-01T00:00:00Z', '2025-12-31T00:00:00Z']);
  expect(keptOf(exports, { yearly: 3 })).toEqual(['2026-01-01T00:00:00Z', '2025-12-31T00:00:00Z', '2024-12-31T00:00:00Z']);
});

test('where places are left over, the oldest is kept, too', () => {
  expect(keptOf(every(1, 5), { yearly: 2 })).toEqual(['2026-11-27T11:00:00.000Z', '2026-11-27T07:00:00.000Z']);
});

test('what is within a time before the newest, in calendar units', () => {
  const exports = ['2026-08-26T11:00:00Z', '2026-08-26T11:00:01Z', '2026-10-01T00:00:00Z', '2026-11-26T12:00:00Z'].map((time) => at(time));
  expect(keptOf(exports, { within: { years: 0, months: 3, days: 0, hours: 1 } })).toEqual([
    '2026-11-26T12:00:00Z',
    '2026-10-01T00:00:00Z',
    '2026-08-26T11:00:01Z',
  ]);
});

test('all tags of one of the lists', () => {
  const exports = [
    at('2026-11-01T00:00:00Z', ['a', 'b']),
    at('2026-11-02T00:00:00Z', ['a']),
    at('2026-11-03T00:00:00Z', ['c']),
    at('2026-11-04T00:00:00Z'),
  ];
  expect(keptOf(exports, { tags: [['a', 'b'], ['c']] })).toEqual(['2026-11-04T00:00:00Z', '2026-11-03T00:00:00Z', '2026-11-01T00:00:00Z']);
});

test('the newest stays, even if no rule keeps it', () => {
  expect(keptOf([at('2026-11-01T00:00:00Z'), at('2026-11-02T00:00:00Z')], { tags: [['x']] })).toEqual(['2026-11-02T00:00:00Z']);
});

describe('clocks that jumped', () => {
  test('an export from the future is kept, and takes no place', () => {
    const exports = [...every(24, 3), at('2038-01-19T03:14:07Z')];
    expect(keptOf(exports, { last: 1 })).toEqual(['2038-01-19T03:14:07Z', '2026-11-26T12:00:00.000Z']);
    expect(keptOf(exports, { within: { years: 1, months: 0, days: 0, hours: 0 } })).toHaveLength(4);
  });

  test('if the clock here is behind, nothing goes', () => {
    expect(keptOf(every(24, 5), { last: 1 }, new Date('2000-01-01T00:00:00Z'))).toHaveLength(5);
  });

  test('an export whose time cannot be true is kept, and takes no place', () => {
    const odd = { ...at('1970-01-01T00:00:00Z'), oddTime: 'its start time is before that of web1@x, to which it refers' };
    expect(decideRetention([...every(24, 2), odd], { last: 1 }, NOW).at(-1)).toEqual({ export: odd, reasons: [odd.oddTime] });
    expect(keptOf([...every(24, 2), odd], { yearly: 5 })).toEqual(['2026-11-26T12:00:00.000Z', '2026-11-25T12:00:00.000Z', odd.id]);
  });
});

test('exports that began at the same time are ordered by their ids', () => {
  const twins = [
    { ...at('2026-11-02T00:00:00Z'), id: '20261102T000000Z' },
    { ...at('2026-11-02T00:00:00Z'), id: '20261102T000000Z-2' },
  ];
  expect(keptOf(twins, { last: 1 })).toEqual(['20261102T000000Z-2']);
  const tenth = { ...at('2026-11-02T00:00:00Z'), id: '20261102T000000Z-10' };
  expect(keptOf([tenth, ...twins], { last: 1 })).toEqual([tenth.id]);
});
