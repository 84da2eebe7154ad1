import { expect, test } from 'vitest';
import { StoreError, isStoreError } from './errors.ts';

test('a store error is recognized, with and without a code', () => {
  const error = new StoreError('full', { message: 'no space' });
  expect(isStoreError(error)).toBe(true);
  expect(isStoreError(error, 'full')).toBe(true);
  expect(isStoreError(error, 'denied')).toBe(false);
});

test('a store error from another copy of this package is recognized', () => {
  const error = Object.assign(new Error('no space'), { name: 'StoreError', code: 'full' });
  expect(isStoreError(error)).toBe(true);
  expect(isStoreError(error, 'full')).toBe(true);
});

test.each([
  ['an error of another kind', Object.assign(new Error('no space'), { code: 'full' })],
  ['an unknown code', Object.assign(new Error('no space'), { name: 'StoreError', code: 'ENOSPC' })],
  ['an object that is not an error', { name: 'StoreError', code: 'full' }],
  ['nothing', undefined],
])('%s is not a store error', (_what, value) => {
  expect(isStoreError(value)).toBe(false);
});
