import { expect, test } from 'vitest';
import { StoreError, isStoreError } from './errors.ts';

test('a store error is known by itself and by its code', () => {
  const error = new StoreError('full', { message: 'no room' });
  expect(isStoreError(error)).toBe(true);
  expect(isStoreError(error, 'full')).toBe(true);
  expect(isStoreError(error, 'denied')).toBe(false);
});

test('a store error of another copy of this package is one, too', () => {
  const error = Object.assign(new Error('no room'), { name: 'StoreError', code: 'full' });
  expect(isStoreError(error)).toBe(true);
  expect(isStoreError(error, 'full')).toBe(true);
});

test.each([
  ['an error of another kind', Object.assign(new Error('no room'), { code: 'full' })],
  ['a code that no store has', Object.assign(new Error('no room'), { name: 'StoreError', code: 'ENOSPC' })],
  ['what is no error', { name: 'StoreError', code: 'full' }],
  ['nothing', undefined],
])('%s is none', (_what, value) => {
  expect(isStoreError(value)).toBe(false);
});
