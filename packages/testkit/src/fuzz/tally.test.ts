import { expect, test } from 'vitest';
import { rounds, Tally } from './tally.ts';
import type { JobOutcome } from './worker-protocol.ts';

function outcome(name: string, inputs: number, known: number, ...kept: readonly string[]): JobOutcome {
  return { name, inputs, known, ms: 1, kept: kept.map((text) => Buffer.from(text)), failures: [] };
}

test('a target comes back with what it has found, until the inputs that were made are enough: what is run again does not count', () => {
  const tally = new Tally();
  const asked: unknown[] = [];
  const jobs = rounds(['a', 'b'], { total: 100, tally }, (name, { round, inputs, found }) => {
    asked.push([name, round, inputs, found.map(String)]);
    return name;
  });
  const ends: Record<string, readonly JobOutcome[]> = {
    a: [outcome('a', 20, 5, 'found'), outcome('a', 46, 6, 'more'), outcome('a', 30, 7)],
    b: [outcome('b', 8, 3), outcome('b', 13, 3)],
  };
  const turns: Record<string, number> = { a: 0, b: 0 };
  for (const name of jobs) {
    const turn = turns[name] ?? 0;
    turns[name] = turn + 1;
    tally.add(ends[name]?.[turn] ?? expect.fail(`${name} once more`));
  }
  expect(asked).toEqual([
    ['a', 0, 100, []],
    ['b', 0, 80, []],
    ['a', 1, 72, ['found']],
    ['b', 1, 32, []],
    ['a', 2, 22, ['found', 'more']],
  ]);
  expect([tally.inputs, tally.targets, tally.failed]).toEqual([20 + 8 + 40 + 10 + 23, 2, 0]);
});

test('the latest of what was found is kept; a failure ends the rounds after the first', () => {
  const tally = new Tally();
  const jobs = rounds(['a', 'b'], { total: 1_000_000, tally }, (name) => name);
  expect(jobs.next().value).toBe('a');
  const many = Array.from({ length: 5001 }, (_, index) => String(index));
  tally.add({ ...outcome('a', 1, 0, ...many), failures: [{ key: 'k', input: Buffer.of(), text: 'it failed' }] });
  expect(jobs.next().value).toBe('b');
  tally.add(outcome('b', 1, 0));
  expect(jobs.next().done).toBe(true);
  expect(tally.found('a')).toHaveLength(5000);
  expect(String(tally.found('a').at(-1))).toBe('5000');
  expect(tally.failed).toBe(1);
});
