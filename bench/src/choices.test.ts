import { expect, test } from 'vitest';
import { parseChoices } from './choices.ts';

test('groups and data sets are those that are named', () => {
  expect(parseChoices({ group: 'sealed,s3', set: 'dense,empty' })).toEqual({
    groups: ['sealed', 's3'],
    sets: ['dense', 'empty'],
    sealedSets: ['dense'],
  });
  expect(parseChoices({ group: 'tools,sealed', set: 'empty' })).toMatchObject({ sets: ['empty'], sealedSets: [] });
});

test.each([
  ['tools,tolls', 'mixed', 'unknown group tolls: use tools, '],
  ['tools', 'mixt', 'unknown data set mixt: use '],
  ['', 'mixed', 'unknown group : use '],
  ['sealed', 'empty', 'nothing to measure: the group sealed has the data sets mixed, dense'],
])('what would measure nothing is refused: %s of %s', (group, set, message) => {
  expect(() => parseChoices({ group, set })).toThrow(message);
});
