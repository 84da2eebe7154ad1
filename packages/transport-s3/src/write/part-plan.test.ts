import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PartPlan, PartPlanOptions } from './part-plan.ts';
import { S3_LIMITS, planParts } from './part-plan.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const TiB = 2 ** 40;

const USUAL: PartPlanOptions = {
  firstPartBytes: 8 * MiB,
  maxPartBytes: S3_LIMITS.maxPartBytes,
  maxParts: S3_LIMITS.maxParts,
  maxObjectBytes: S3_LIMITS.maxObjectBytes,
};

/** Cuts a stream of `bytes` as a write does: the largest part and the number of parts. */
function simulate(plan: PartPlan, bytes: number): { readonly parts: number; readonly largest: number } {
  let parts = 0;
  let largest = 0;
  for (let left = bytes; left > 0;) {
    const size = plan.partBytes(++parts);
    if (parts > plan.maxParts) throw new Error(`part ${parts} for a stream of ${bytes} bytes`);
    expect(size).toBeGreaterThanOrEqual(largest);
    largest = size;
    left -= size;
  }
  return { parts, largest };
}

describe('a stream of unknown size', () => {
  const plan = planParts(USUAL);

  test('never runs out of parts, up to 5 TiB', () => {
    expect(plan.maxObjectBytes).toBe(5 * TiB);
    expect(simulate(plan, 5 * TiB).parts).toBeLessThanOrEqual(10_000);
  });

  test.each([
    ['a gigabyte', GiB, 9],
    ['ten', 10 * GiB, 20],
    // Tools that guess one size stop at 48 GiB or 488 GiB.
    ['fifty', 50 * GiB, 64],
    ['five hundred', 500 * GiB, 320],
    ['a terabyte', TiB, 512],
    ['five', 5 * TiB, 1536],
  ])('needs no larger parts than it must: %s', (_, bytes, mebibytes) => {
    expect(simulate(plan, bytes).largest).toBeLessThanOrEqual(mebibytes * MiB);
  });

  test('has parts that every service accepts', () => {
    for (let part = 1; part <= 10_000; part++) {
      expect(plan.partBytes(part)).toBeGreaterThanOrEqual(S3_LIMITS.minPartBytes);
      expect(plan.partBytes(part)).toBeLessThanOrEqual(S3_LIMITS.maxPartBytes);
    }
  });

  test('has parts of few different sizes, so that buffers can be reused', () => {
    const sizes = new Set(Array.from({ length: 10_000 }, (_, index) => plan.partBytes(index + 1)));
    expect(sizes.size).toBeLessThan(70);
  });

  test('reaches most of what equal parts of the largest size would, if a service allows larger objects', () => {
    const larger = planParts({ ...USUAL, maxObjectBytes: 50 * TiB });
    expect(larger.maxObjectBytes).toBeGreaterThan(34 * TiB);
    expect(simulate(larger, larger.maxObjectBytes).parts).toBeLessThanOrEqual(10_000);
  });
});

describe('a stream with an expected size', () => {
  test.each([GiB, 100 * GiB, TiB, 4 * TiB])('has equal parts, and parts to spare: %d bytes', (expectedBytes) => {
    const plan = planParts({ ...USUAL, expectedBytes });
    const { parts, largest } = simulate(plan, expectedBytes);
    expect(largest).toBe(plan.partBytes(1));
    expect(parts).toBeLessThanOrEqual(6000);
    expect(largest).toBeLessThanOrEqual(Math.max(8 * MiB, (expectedBytes / 6000) * 1.25));
  });

  test('may be as large as ten thousand of the largest parts', () => {
    const plan = planParts({ ...USUAL, maxObjectBytes: 50 * TiB, expectedBytes: 48 * TiB });
    expect(simulate(plan, 48 * TiB).parts).toBeLessThanOrEqual(10_000);
    expect(plan.maxObjectBytes).toBe(10_000 * 5 * GiB);
  });

  test('still fits if the expected size is wrong', () => {
    const sizes = fc.double({ min: 0, max: 1, noNaN: true }).map((power) => Math.floor((5 * TiB) ** power));
    fc.assert(
      fc.property(sizes, sizes, (expectedBytes, bytes) => {
        const plan = planParts({ ...USUAL, expectedBytes });
        expect(plan.maxObjectBytes).toBe(5 * TiB);
        simulate(plan, bytes);
      }),
      { numRuns: 40 },
    );
    simulate(planParts({ ...USUAL, expectedBytes: 10 * GiB }), 5 * TiB);
    simulate(planParts({ ...USUAL, expectedBytes: 5 * TiB }), 5 * TiB);
  });
});

describe('services with limits of their own', () => {
  test('get equal parts if they require them, and objects within those limits', () => {
    const plan = planParts({ ...USUAL, equalPartBytes: 64 * MiB, expectedBytes: 4 * TiB });
    expect([1, 2, 5000, 10_000].map((part) => plan.partBytes(part))).toEqual([64 * MiB, 64 * MiB, 64 * MiB, 64 * MiB]);
    expect(plan.maxObjectBytes).toBe(625 * GiB);
    expect(simulate(plan, 625 * GiB).parts).toBe(10_000);
  });

  test('may have any limits: the plan stays within them, and says how large an object can be', () => {
    fc.assert(
      fc.property(
        // A single part cannot grow.
        fc.integer({ min: 2, max: 2000 }),
        fc.integer({ min: 5, max: 64 }),
        fc.integer({ min: 64, max: 5120 }),
        fc.integer({ min: 1, max: 4000 }),
        (maxParts, first, largest, goal) => {
          const plan = planParts({ firstPartBytes: first * MiB, maxPartBytes: largest * MiB, maxParts, maxObjectBytes: goal * GiB });
          expect(plan.maxObjectBytes).toBeLessThanOrEqual(goal * GiB);
          expect(plan.maxObjectBytes).toBeGreaterThanOrEqual(Math.min(goal * GiB, maxParts * largest * MiB * 0.3));
          simulate(plan, plan.maxObjectBytes);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('that contradict each other are refused', () => {
    expect(() => planParts({ ...USUAL, firstPartBytes: 6 * GiB })).toThrow(RangeError);
    expect(() => planParts({ ...USUAL, maxParts: 0 })).toThrow(RangeError);
  });
});
