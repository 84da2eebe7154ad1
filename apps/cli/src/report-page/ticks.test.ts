import { expect, test } from 'vitest';
import { ticksOf } from './ticks.ts';

const HOUR_MS = 3_600_000;
const END = Date.UTC(2026, 10, 27, 7);

test.each([
  [26, 10, ['06:00', '09:00', '12:00', '15:00', '18:00', '21:00', '11-27', '03:00', '06:00']],
  [28 * 24, 12, ['11-03', '11-07', '11-11', '11-15', '11-19', '11-23', '11-27']],
  [400 * 24, 12, ['2025-11', '2026-01', '2026-03', '2026-05', '2026-07', '2026-09', '2026-11']],
])('a range of %d hours has at most %d regular marks', (hours, most, labels) => {
  const { times, label } = ticksOf([END - hours * HOUR_MS, END], most);
  expect(times.map(label)).toEqual(labels);
});

test('any range has few marks, at regular times within it', () => {
  for (let hours = 24; hours < 20 * 365 * 24; hours = Math.ceil(hours * 1.07)) {
    for (const most of [3, 12]) {
      const [from, to] = [END - hours * HOUR_MS, END];
      const { times } = ticksOf([from, to], most);
      expect(times.length).toBeLessThanOrEqual(most + 1);
      expect(times.length).toBeGreaterThan(0);
      expect(times.every((time) => time >= from && time <= to)).toBe(true);
      const steps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
      // Months have 28 to 31 days.
      expect(Math.max(...steps, 0)).toBeLessThanOrEqual(Math.min(...steps, Infinity) * (31 / 28));
    }
  }
});
