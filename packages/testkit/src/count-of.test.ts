import { expect, test, vi } from 'vitest';
import { countOf } from './count-of.ts';

test.each(['0', '-1', '2oo', 'O200', '1.5', '', ' 3'])('a number of rounds that would be none is refused: %j', (text) => {
  vi.stubEnv('GANTRY_TEST_COUNT', text);
  expect(() => countOf('GANTRY_TEST_COUNT', 2)).toThrow('GANTRY_TEST_COUNT must be a whole number above 0');
});

test('a number of rounds is that of the environment, else the usual one', () => {
  vi.stubEnv('GANTRY_TEST_COUNT', undefined);
  expect(countOf('GANTRY_TEST_COUNT', 2)).toBe(2);
  vi.stubEnv('GANTRY_TEST_COUNT', '300');
  expect(countOf('GANTRY_TEST_COUNT', 2)).toBe(300);
});
