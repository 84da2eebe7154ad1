import { expect, test } from 'vitest';
import { parseTimeOfDayRange } from './quantities.ts';
import { isWithin, rateAt } from './time-of-day.ts';

const MIB = 1024 ** 2;

function range(text: string): { readonly from: number; readonly to: number } {
  const parsed = parseTimeOfDayRange(text);
  if (parsed === undefined) throw new Error(`${text} is not a part of the day`);
  return parsed;
}

/** On a day without a change of the clock, wherever this runs. */
function at(time: string): Date {
  return new Date(`2026-11-26T${time}`);
}

test.each([
  ['08:00-18:00', '07:59:59.999', false],
  ['08:00-18:00', '08:00', true],
  ['08:00-18:00', '17:59:59.999', true],
  ['08:00-18:00', '18:00', false],
  ['22:00-06:00', '21:59', false],
  ['22:00-06:00', '22:00', true],
  ['22:00-06:00', '00:00', true],
  ['22:00-06:00', '05:59', true],
  ['22:00-06:00', '06:00', false],
  ['18:00-24:00', '23:59', true],
  ['18:00-24:00', '00:00', false],
  ['00:00-06:00', '00:00', true],
])('%s, at %s: %s', (part, time, within) => {
  expect(isWithin(range(part), at(time))).toBe(within);
});

test('a limit is that of the first part of the day that contains the time', () => {
  const limit = {
    bytesPerSecond: 50 * MIB,
    at: [{ range: range('08:00-18:00'), bytesPerSecond: 5 * MIB }, { range: range('17:00-06:00') }],
  };
  expect(rateAt(limit, at('12:00'))).toBe(5 * MIB);
  expect(rateAt(limit, at('17:30'))).toBe(5 * MIB);
  expect(rateAt(limit, at('18:00'))).toBe(Infinity);
  expect(rateAt(limit, at('06:00'))).toBe(50 * MIB);
  expect(rateAt({ at: [] }, at('06:00'))).toBe(Infinity);
});
