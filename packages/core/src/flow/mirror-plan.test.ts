import { describe, expect, test } from 'vitest';
import type { MirrorChoice, MirroredInstance } from './mirror-plan.ts';
import { planMirror } from './mirror-plan.ts';

const EVERYTHING: MirrorChoice = { patterns: [], withOlder: false };
const [FIRST = '', SECOND = '', THIRD = '', FOURTH = ''] = [1, 2, 3, 4].map((day) => `2026110${day}T020000Z`);
const NOW = new Date('2026-11-05T02:00:00Z');

function web1(sides: Partial<MirroredInstance>): MirroredInstance {
  return { instance: 'web1', source: [FOURTH, FIRST, THIRD, SECOND], target: [], removed: [], ...sides };
}

describe('a mirror', () => {
  test('copies everything to an empty store, the oldest first', () => {
    expect(planMirror([web1({})], EVERYTHING)).toEqual([
      { instance: 'web1', copy: [FIRST, SECOND, THIRD, FOURTH], present: [], there: [], older: [], future: [] },
    ]);
  });

  test('orders by age, not by name', () => {
    const [plan] = planMirror([web1({ source: [`${FIRST}-10`, SECOND, `${FIRST}-2`, FIRST] })], EVERYTHING);
    expect(plan?.copy).toEqual([FIRST, `${FIRST}-2`, `${FIRST}-10`, SECOND]);
  });

  test('copies what is newer than what the target has, and does not bring back what was removed there', () => {
    expect(planMirror([web1({ target: [SECOND] })], EVERYTHING)).toEqual([
      { instance: 'web1', copy: [THIRD, FOURTH], present: [SECOND], there: [SECOND], older: [FIRST], future: [] },
    ]);
    expect(planMirror([web1({ target: [FIRST], removed: [THIRD] })], EVERYTHING)).toEqual([
      { instance: 'web1', copy: [FOURTH], present: [FIRST], there: [FIRST], older: [SECOND, THIRD], future: [] },
    ]);
  });

  test('copies older ones if it is asked to, but not into the place of packs that are in use', () => {
    expect(planMirror([web1({ target: [THIRD], removed: [SECOND] })], { ...EVERYTHING, withOlder: true })).toEqual([
      { instance: 'web1', copy: [FIRST, FOURTH], present: [THIRD], there: [THIRD], older: [SECOND], future: [] },
    ]);
  });

  test.each([
    [1, [FOURTH]],
    [2, [THIRD, FOURTH]],
    [9, [FIRST, SECOND, THIRD, FOURTH]],
  ])('takes only the newest %i if it is asked to', (newest, copy) => {
    expect(planMirror([web1({})], { ...EVERYTHING, newest })).toMatchObject([{ copy }]);
  });

  test('is not held up by an export from the future, which counts neither as the newest there nor as one of the newest', () => {
    const future = '20371101T020000Z';
    expect(planMirror([web1({ target: [SECOND, future] })], EVERYTHING, NOW)).toEqual([
      { instance: 'web1', copy: [THIRD, FOURTH], present: [SECOND], there: [SECOND, future], older: [FIRST], future: [future] },
    ]);
    const source = [FIRST, SECOND, THIRD, FOURTH, future];
    expect(planMirror([web1({ source })], { ...EVERYTHING, newest: 1 }, NOW)).toMatchObject([{ copy: [FOURTH, future], future: [future] }]);
  });

  test('takes an export for the newest that is ahead by no more than clocks differ', () => {
    const ahead = '20261105T020959Z';
    expect(planMirror([web1({ target: [ahead] })], EVERYTHING, NOW)).toMatchObject([{ copy: [], future: [] }]);
  });

  test('takes the instances that a pattern matches, by name', () => {
    const all = ['web2', 'db1', 'web1'].map((instance) => web1({ instance }));
    const names = (patterns: readonly string[]) => planMirror(all, { ...EVERYTHING, patterns }).map(({ instance }) => instance);
    expect(names([])).toEqual(['db1', 'web1', 'web2']);
    expect(names(['web*'])).toEqual(['web1', 'web2']);
    expect(names(['db1', '*2'])).toEqual(['db1', 'web2']);
    expect(names(['web'])).toEqual([]);
  });
});
