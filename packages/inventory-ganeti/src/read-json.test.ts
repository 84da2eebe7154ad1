import { expect, test } from 'vitest';
import { NotJsonError, readJson } from './read-json.ts';

test('gives what JSON says, nested as Ganeti does it', () => {
  const value = { disks: [{ children: [{ children: [] }] }], text: '[[[[' };
  expect(readJson(JSON.stringify(value))).toEqual(value);
});

test.each([
  ['what is not JSON', '{"password":"secret"', 'it is not JSON'],
  ['what is nested far more deeply', `${'['.repeat(50_000)}${']'.repeat(50_000)}`, 'it is nested more than 100 times'],
])('refuses %s, and shows nothing of it', (_, text, message) => {
  expect(() => readJson(text)).toThrow(new NotJsonError(message));
});
