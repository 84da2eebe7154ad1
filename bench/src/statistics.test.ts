import { describe, expect, test } from 'vitest';
import { added, median, spread, summarize } from './statistics.ts';

describe('the median', () => {
  test.each([
    [[3], 3],
    [[9, 1, 5], 5],
    [[4, 1, 2, 100], 3],
  ])('of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  test('without values is refused', () => {
    expect(() => median([])).toThrow(RangeError);
  });
});

test('the spread is the range as a share of the median', () => {
  expect(spread([1, 2, 3])).toBe(1);
  expect(spread([5, 5])).toBe(0);
});

test('a summary has the medians of times, and the maximum of memory', () => {
  const samples = [
    { wall: 2, cpu: 3, peakBytes: 100 },
    { wall: 4, cpu: 5, peakBytes: 300 },
    { wall: 3, cpu: 4, peakBytes: 200 },
  ];
  expect(summarize(samples)).toEqual({ runs: 3, wall: 3, spread: 2 / 3, cpu: 4, peakBytes: 300 });
});

test('what could not be measured stays unknown', () => {
  expect(summarize([{ wall: 1, cpu: undefined, peakBytes: undefined }])).toMatchObject({ cpu: undefined, peakBytes: undefined });
});

test('what one costs above another is the median of rounds that both ran in', () => {
  const sample = (cpu: number | undefined) => ({ wall: 1, cpu, peakBytes: undefined });
  const samples = [sample(5), sample(9), sample(4), sample(undefined), sample(7)];
  const others = [sample(4), sample(7), sample(4.5), sample(1)];
  expect(added(samples, others)).toEqual({ median: 1, lowest: -0.5, highest: 2 });
  expect(added(samples, [])).toBeUndefined();
});
