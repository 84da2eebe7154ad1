import { expect, test } from 'vitest';
import { formatRate, parseRate } from './quantities.ts';

test.each([
  [1, '1'],
  [999_999_999, '999999999'],
  [10 * 1024 ** 3, '10485760K'],
  [1_193_046_471, '1165084K'],
  [1e12, '976562500K'],
  [Number.MAX_SAFE_INTEGER, '8388607G'],
  [0.5, '1'],
])('a rate of %d is written as %s, which is read again', (rate, text) => {
  expect(formatRate(rate)).toBe(text);
  expect(parseRate(text)).toBeGreaterThan(0.999_999 * rate - 1);
  expect(parseRate(text)).toBeLessThanOrEqual(Math.max(1, rate));
});
