import { expect, test } from 'vitest';
import { parseTimers } from './next-runs.ts';

const listed = (next: unknown): string => JSON.stringify([{ unit: 'gantry-run@web.timer', next }]);

test('a timer says when it starts its policy', () => {
  const at = Date.UTC(2026, 10, 23, 8, 15);
  expect(parseTimers(listed(at * 1000))).toEqual(new Map([['web', new Date(at)]]));
});

test.each([listed(0), listed(null), listed(undefined), listed(2 ** 64), '[{"unit":"x.timer","next":1}]', '{}', 'no timers'])(
  'one that waits for nothing, or never ends, says nothing: %s',
  (text) => {
    expect(parseTimers(text)).toEqual(new Map());
  },
);
