import { expect, test } from 'vitest';
import { formatWindow, occurrenceAt } from './window.ts';

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

test('a window is written as in the configuration', () => {
  expect(formatWindow(NIGHT)).toBe('22:00-06:00');
});

function on([day, hour, minute]: readonly [number, number, number]): Date {
  return new Date(2026, 10, day, hour, minute);
}
