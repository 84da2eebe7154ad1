import { expect, test } from 'vitest';
import { chart } from './chart.ts';
import type { Contest } from './report.ts';
import { ratioOf, remarks, table, tableOfAdded } from './report.ts';

const MIB = 1024 * 1024;
const summary = (wall: number) => ({ runs: 3, wall, spread: 0.1, cpu: 2 * wall, peakBytes: 100 * MIB });

const contest: Contest = {
  title: 'Dense',
  key: 'dense',
  bytes: 1024 * MIB,
  results: [
    { name: 'a | slow', note: 'a note', export: summary(4), import: undefined, storedBytes: 512 * MIB, failure: undefined },
    { name: 'gantry', note: undefined, export: summary(2), import: summary(1), storedBytes: 256 * MIB, failure: undefined },
    { name: 'broken', note: undefined, export: undefined, import: undefined, storedBytes: undefined, failure: 'exit 1: no\nmore' },
  ],
};

test('a tool that takes twice as long has the ratio 2', () => {
  expect(ratioOf(summary(4), summary(2))).toBe(2);
});

test('a table names every tool, including those that could not run', () => {
  expect(table(contest).split('\n')).toEqual([
    '|  | export MiB/s | × | s/GiB | MiB | stored | import MiB/s | × | s/GiB | MiB |',
    '| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |',
    String.raw`| a \| slow | 256 ±5 % | 2.00 | 8.0 | 100 | 50 % |  |  |  |  |`,
    '| **gantry** | 512 ±5 % | 1.00 | 4.0 | 100 | 25 % | 1024 ±5 % | 1.00 | 2.0 | 100 |',
    '| broken | could not run |',
    '',
    'broken could not run: exit 1: no',
  ]);
});

test('each remark about a tool is shown once, even if the tool is in several tables', () => {
  expect(remarks([contest, { ...contest, key: 'again' }])).toBe(String.raw`- a \| slow: a note`);
});

test('a second table has what one costs above another', () => {
  const result = {
    ...contest.results[1],
    name: 'b',
    note: undefined,
    export: summary(2),
    import: undefined,
    storedBytes: 1,
    failure: undefined,
  };
  const above = { name: 'gantry', export: { median: 1, lowest: 0.5, highest: 1.25 }, import: undefined };
  expect(tableOfAdded({ ...contest, bytes: 2048 * MIB, results: [...contest.results, { ...result, above }] }).split('\n')).toEqual([
    '|  | above | export, s/GiB | import, s/GiB |',
    '| --- | --- | --: | --: |',
    '| b | gantry | 0.50 (0.25 to 0.63) |  |',
  ]);
  expect(tableOfAdded(contest)).toBe('');
});

test('a chart has a bar for every tool that ran, the longest for the fastest', () => {
  const svg = chart([contest]);
  const widths = [...svg.matchAll(/class="bar[^"]*"[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width));
  expect(widths).toHaveLength(2);
  expect(widths[1]).toBeGreaterThan((widths[0] ?? 0) * 1.9);
  expect(svg).not.toContain('broken');
});
