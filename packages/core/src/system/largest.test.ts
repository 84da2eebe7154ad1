import { expect, test } from 'vitest';
import { lastLabels } from '../exports/export-labels.ts';
import { largest } from './largest.ts';

/** More than a call can have arguments. */
const MANY = 150_000;

test('is found among more values than a call can have arguments', () => {
  expect(largest(Array.from({ length: MANY }, (_, index) => index % 1000))).toBe(999);
  expect(largest([], 5)).toBe(5);
  expect(largest([3, 7], 10)).toBe(10);
});

test('the labels that count are found in a directory into which somebody has put any number of files', () => {
  const file = { key: 'x', size: 1, modified: new Date(0) };
  const files = new Map(Array.from({ length: MANY }, (_, index) => [`labels-${index + 1}.json`, file]));
  expect(lastLabels({ files })).toBe(MANY);
});
