import type { Rate } from '@gantry/transport';
import { expect, test } from 'vitest';
import { cappedRate } from './capped-rate.ts';

/** What it is now. */
function now(rate: Rate | undefined): number | undefined {
  return typeof rate === 'function' ? rate() : rate;
}

test.each([
  [undefined, undefined, undefined],
  [undefined, 5, 5],
  [7, undefined, 7],
  [7, 5, 5],
  [3, 5, 3],
  [(): number => Infinity, 5, 5],
  [(): number => 3, 5, 3],
] as const)('the rate %s that may be at most %s is %s', (rate, most, expected) => {
  expect(now(cappedRate(rate, most))).toBe(expected);
});
