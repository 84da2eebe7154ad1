import type { GantryEvent } from '@gantry/core';
import { describe, expect, test } from 'vitest';
import type { ProgressState } from './progress-line.ts';
import { progressLine } from './progress-line.ts';
import type { Progress } from './progress.ts';
import { createProgress } from './progress.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

const STATES: readonly ProgressState[] = [
  {
    label: 'disk 0',
    plainBytes: 123.4 * GIB,
    storedBytes: 98.7 * GIB,
    expectedBytes: 1023 * GIB,
    rate: 123.4 * MIB,
    stillMs: undefined,
    leftMs: 7_654_321,
  },
  { label: 'disk 12', plainBytes: 1, storedBytes: 0, expectedBytes: undefined, rate: 0, stillMs: undefined, leftMs: undefined },
  {
    label: 'total ',
    plainBytes: 5 * GIB,
    storedBytes: GIB,
    expectedBytes: 9 * GIB,
    rate: 0,
    stillMs: 75_000,
    leftMs: undefined,
    note: '3 of 16 done',
  },
];

describe('a line of progress', () => {
  test.each([12, 20, 40, 60, 80, 200])('fits into %i columns, with no number cut', (width) => {
    for (const state of STATES) {
      const line = progressLine(state, width - 1);
      expect(line.length).toBeLessThan(width);
      expect(line).toMatch(/^[ -~]+$/);
      if (width >= 40) expect(line).toMatch(/(\/s|no data for [\dmin s]+ s)|left$/);
    }
  });

  test('shows more the more room there is', () => {
    const [state] = STATES;
    if (state === undefined) throw new Error('no state');
    expect(progressLine(state, 39)).toBe('disk 0  12%  123 MiB/s  2 h 07 min left');
    expect(progressLine(state, 59)).toBe('disk 0  12%  123 GiB  123 MiB/s  2 h 07 min left');
    expect(progressLine(state, 79)).toBe('disk 0  [#...........]  12%  123 GiB  123 MiB/s  2 h 07 min left');
    expect(progressLine(state, 199)).toBe('disk 0  [###.....................]  12%  123 GiB (98.7 GiB stored)  123 MiB/s  2 h 07 min left');
    expect(progressLine(state, undefined)).toBe('disk 0  12%  123 GiB (98.7 GiB stored)  123 MiB/s  2 h 07 min left');
  });

  test('shows that no data comes', () => {
    expect(STATES[2] && progressLine(STATES[2], 79)).toBe('total   [#######.....]  55%  5.00 GiB  no data for 1 min 15 s  3 of 16 done');
  });
});

/** Disks of `expected` bytes in progress, with a clock of their own. */
function makeProgress(
  disks: readonly number[],
  expected = 1000 * MIB,
): { progress: Progress; at: (ms: number) => void; disk: (disk: number, bytes: number) => void; end: (disk: number) => void } {
  let now = 0;
  const progress = createProgress(() => now);
  const report = (event: GantryEvent): void => progress.take(event);
  for (const disk of disks) report({ type: 'disk', operation: 'import', disk, phase: 'waiting', expectedBytes: expected });
  return {
    progress,
    at: (ms) => {
      now = ms;
    },
    disk: (disk, bytes) => {
      if (bytes === 0) report({ type: 'disk', operation: 'import', disk, phase: 'running' });
      report({ type: 'progress', operation: 'import', disk, plainBytes: bytes, storedBytes: bytes / 2, expectedBytes: expected });
    },
    end: (disk) => report({ type: 'disk', operation: 'import', disk, phase: 'done' }),
  };
}

const LEFT = /(?:(\d+) min )?(\d+) s left/;

describe('the time that is left', () => {
  test('counts down evenly though data comes in bursts', () => {
    const { progress, at, disk } = makeProgress([0]);
    disk(0, 0);
    const shown: number[] = [];
    for (let ms = 0; ms <= 60_000; ms += 200) {
      at(ms);
      // 10 MiB/s on average, in bursts of a second with one of rest.
      disk(0, Math.max(1, Math.floor(ms / 2000) * 20 * MIB + Math.min(1, (ms % 2000) / 1000) * 20 * MIB));
      const [, minutes = '0', seconds] = LEFT.exec(progress.lines()[0] ?? '') ?? [];
      if (ms > 10_000 && seconds !== undefined) shown.push(Number(minutes) * 60 + Number(seconds));
    }
    const steps = shown.slice(1).map((value, index) => value - (shown[index] ?? value));
    expect(shown.length).toBeGreaterThan(200);
    // It may correct itself once it knows the speed, but not with every burst.
    expect(steps.filter((step) => step > 0 || step < -1).length).toBeLessThanOrEqual(2);
  });

  test('is not shown while no data comes, which is shown instead', () => {
    const { progress, at, disk } = makeProgress([0]);
    disk(0, 0);
    for (let ms = 100; ms <= 5000; ms += 100) {
      at(ms);
      disk(0, ms * 10_000);
    }
    expect(progress.lines()[0]).toMatch(/MiB\/s {2}.* left$/);
    at(7900);
    expect(progress.lines()[0]).toMatch(LEFT);
    at(8100);
    expect(progress.lines()[0]).toMatch(/no data for 4 s$/);
    // Core may report the same number of bytes repeatedly.
    disk(0, 5000 * 10_000);
    at(65_000);
    expect(progress.lines()[0]).toMatch(/no data for 1 min 0 s$/);
    disk(0, 5001 * 10_000);
    expect(progress.lines()[0]).toContain('/s');
  });
});

describe('several disks', () => {
  test('have a line for the total, which includes those that wait and those that are done', () => {
    const { progress, at, disk, end } = makeProgress([0, 1, 2, 3], 100 * MIB);
    expect(progress.lines()).toEqual([]);
    disk(0, 0);
    disk(1, 0);
    at(1000);
    disk(0, 100 * MIB);
    disk(1, 20 * MIB);
    end(0);
    const lines = progress.lines({ width: 79, height: 24 });
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^disk 1 {2}\[/);
    expect(lines[1]).toMatch(/^total {3}\[####\.{8}\] {2}30% {2}120 MiB {2}120 MiB\/s {2}3 s left {2}1 of 4 done$/);
  });

  test('have no percentage of the total if the size of one is unknown', () => {
    const progress = createProgress(() => 0);
    for (const index of [0, 1]) progress.take({ type: 'disk', operation: 'export', disk: index, phase: 'waiting' });
    progress.take({ type: 'disk', operation: 'export', disk: 0, phase: 'running' });
    expect(progress.lines()).toEqual(['disk 0  0 B (0 B stored)  0 B/s', 'total   0 B (0 B stored)  0 B/s  0 of 2 done']);
  });

  test('take no more lines than the terminal has, and say how many are left out', () => {
    const { progress, disk } = makeProgress([...Array(20).keys()]);
    for (let index = 0; index < 20; index += 1) disk(index, 0);
    const lines = progress.lines({ width: 79, height: 5 });
    expect(lines).toHaveLength(5);
    expect(lines[3]).toBe('(17 more disks)');
    expect(lines[4]).toMatch(/^total/);
  });
});
