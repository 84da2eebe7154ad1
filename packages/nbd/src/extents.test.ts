import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { Extent, Range } from './extents.ts';
import { isData, isDirty, joinRanges } from './extents.ts';

const KiB = 1024;

/** Extents without gaps, some wanted. */
const extents = fc
  .array(fc.record({ length: fc.integer({ min: 1, max: 200 * KiB }), flags: fc.integer({ min: 0, max: 1 }) }), { maxLength: 50 })
  .map((parts) => {
    let next = 0;
    return parts.map(({ length, flags }): Extent => {
      next += length;
      return { offset: next - length, length, flags };
    });
  });

test('joined ranges have every wanted byte, begin and end with wanted ones, and leave out every gap that is long', async () => {
  await fc.assert(
    fc.asyncProperty(extents, async (extents) => {
      const ranges = await Array.fromAsync(joinRanges(extents, isDirty, 64 * KiB));
      const holds = (range: Range, { offset, length }: Range): boolean =>
        range.offset <= offset && offset + length <= range.offset + range.length;
      const wanted = extents.filter((extent) => isDirty(extent));
      for (const extent of wanted) expect(ranges.filter((range) => holds(range, extent))).toHaveLength(1);
      for (const range of ranges) {
        expect(wanted.some(({ offset }) => offset === range.offset)).toBe(true);
        expect(wanted.some(({ offset, length }) => offset + length === range.offset + range.length)).toBe(true);
      }
      for (const [at, range] of ranges.entries()) {
        const next = ranges[at + 1];
        if (next !== undefined) expect(next.offset - (range.offset + range.length)).toBeGreaterThanOrEqual(64 * KiB);
      }
    }),
  );
});

test('without gaps to be joined, neighbours are still one', async () => {
  const extents = [0, 10, 30].map((offset) => ({ offset, length: 10, flags: 1 }));
  expect(await Array.fromAsync(joinRanges(extents, isDirty, 0))).toEqual([
    { offset: 0, length: 20 },
    { offset: 30, length: 10 },
  ]);
});

test('a hole that is not said to be zero is read', () => {
  expect([0, 1, 2, 3].map((flags) => isData({ offset: 0, length: 1, flags }))).toEqual([true, true, false, false]);
});
