import { expect, test } from 'vitest';
import { withoutSecret } from './explain.ts';

test('an identity that was put in the place of a recipient is not shown', () => {
  const text = 'AGE-SECRET-KEY-1QQQQ';
  expect(withoutSecret(text)).toBe('(not a recipient)');
  expect(withoutSecret('age1qqqq')).toBe('age1qqqq');
});
