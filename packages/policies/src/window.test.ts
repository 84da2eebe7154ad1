import process from 'node:process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { aftermaths, formatWindow, occurrenceAt } from './window.ts';

const NIGHT = { from: 22 * 60, to: 6 * 60 };
const DAY = { from: 8 * 60 + 30, to: 18 * 60 };

test.each([
  ['in the evening', NIGHT, [27, 22, 0], [27, 22, 0], [28, 6, 0]],
  ['after midnight', NIGHT, [28, 5, 59], [27, 22, 0], [28, 6, 0]],
  ['by day', DAY, [27, 8, 30], [27, 8, 30], [27, 18, 0]],
  ['until midnight', { from: 60, to: 0 }, [27, 23, 59], [27, 1, 0], [28, 0, 0]],
] as const)('a time %s is in the window', (_, window, now, begin, end) => {
  expect(occurrenceAt(window, on(now))).toEqual({ begin: on(begin), end: on(end) });
});

test.each([
  [NIGHT, [27, 21, 59]],
  [NIGHT, [28, 6, 0]],
  [DAY, [27, 8, 29]],
  [DAY, [27, 18, 0]],
] as const)('a time outside of the window is in none', (window, now) => {
  expect(occurrenceAt(window, on(now))).toBeUndefined();
});

test.each([
  ['after it', NIGHT, [28, 9, 0], [28, 6, 0], [28, 22, 0]],
  ['when it has just ended', NIGHT, [28, 6, 0], [28, 6, 0], [28, 22, 0]],
  ['before its next occurrence ends', NIGHT, [29, 1, 0], [28, 6, 0], [28, 22, 0]],
  ['in the next one, where there is no time between', { from: 0, to: 24 * 60 }, [28, 9, 0], [28, 0, 0], [29, 0, 0]],
] as const)('what follows the exports of a window has its time %s', (_, window, now, begin, end) => {
  const [newest, before, ...others] = aftermaths(window, on(now), 3);
  expect(newest).toMatchObject({ begin: on(begin), end: on(end), of: { end: on(begin) } });
  expect(before?.begin).toEqual(newest?.of.begin && new Date(newest.begin.getTime() - 24 * 3_600_000));
  expect(others.length).toBeGreaterThanOrEqual(1);
});

describe('in a night in which the clock of Berlin is set', () => {
  const zone = process.env['TZ'];
  beforeEach(() => {
    process.env['TZ'] = 'Europe/Berlin';
  });
  afterEach(() => {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  });

  // 2026-03-29: 02:00 is 03:00, at 01:00 UTC. 2026-10-25: 03:00 is 02:00, at 01:00 UTC.
  test.each([
    ['begins at a time that is skipped', '02:30-03:15', '2026-03-29T01:05Z', '2026-03-29T01:00Z', '2026-03-29T01:15Z'],
    ['is skipped as a whole', '02:00-03:00', '2026-03-29T01:00Z', '2026-03-29T01:00Z', '2026-03-29T02:00Z'],
    ['ends at a time that is skipped', '01:00-02:30', '2026-03-29T01:10Z', '2026-03-29T00:00Z', '2026-03-29T01:30Z'],
    ['passes over the jump', '22:00-06:00', '2026-03-29T03:59Z', '2026-03-28T21:00Z', '2026-03-29T04:00Z'],
    ['ends at a time that comes twice', '01:30-02:30', '2026-10-25T01:29Z', '2026-10-24T23:30Z', '2026-10-25T01:30Z'],
    ['begins at a time that comes twice', '02:30-04:00', '2026-10-25T00:30Z', '2026-10-25T00:30Z', '2026-10-25T03:00Z'],
    ['is before the hour that comes twice', '00:30-01:30', '2026-10-24T23:29Z', '2026-10-24T22:30Z', '2026-10-24T23:30Z'],
  ])('a window that %s is open', (_, window, now, begin, end) => {
    const [from = 0, to = 0] = window.split('-').map((time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3)));
    expect(occurrenceAt({ from, to }, new Date(now))).toEqual({ begin: new Date(begin), end: new Date(end) });
    expect(occurrenceAt({ from, to }, new Date(end))).toBeUndefined();
  });
});

test('a window is written as in the configuration', () => {
  expect(formatWindow(NIGHT)).toBe('22:00-06:00');
});

function on([day, hour, minute]: readonly [number, number, number]): Date {
  return new Date(2026, 10, day, hour, minute);
}
