import type { StoreErrorCode } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { expect, test } from 'vitest';
import { GantryError } from '../report/errors.ts';
import { asGantryError, withStoreErrors } from './store-errors.ts';

test.each<[StoreErrorCode, string]>([
  ['not-found', 'STORE_NOT_FOUND'],
  ['exists', 'BUSY'],
  ['invalid-key', 'STORE_FAILED'],
  ['invalid-range', 'STORE_FAILED'],
  ['invalid-address', 'STORE_ADDRESS'],
  ['denied', 'STORE_DENIED'],
  ['integrity', 'STORE_FAILED'],
  ['full', 'STORE_FULL'],
  ['unavailable', 'STORE_UNAVAILABLE'],
  ['unsupported', 'STORE_UNSUPPORTED'],
])('%s of a store is %s, with its address, and itself as the cause', (code, expected) => {
  const cause = new StoreError(code, { message: 'writing a/b failed' });
  expect(asGantryError(cause, '/srv/exports')).toMatchObject({ code: expected, message: 'store /srv/exports: writing a/b failed', cause });
});

test("the store's own hint comes before the general one", () => {
  const hint = 'Mount it.';
  expect(asGantryError(new StoreError('denied', { message: 'x', hint }), 's')).toMatchObject({ hint });
  expect(asGantryError(new StoreError('full', { message: 'x' }), 's')).toMatchObject({ hint: expect.stringContaining('gantry remove') });
});

test('other errors stay what they are: those of core, and the reason of a signal', async () => {
  for (const error of [new GantryError('BUSY', { message: 'x' }), new Error('x'), 'enough', undefined]) {
    expect(asGantryError(error, 's')).toBe(error);
    const failing = withStoreErrors('s', () => Promise.reject(error));
    await failing.then(
      () => expect.unreachable(),
      (rejected: unknown) => expect(rejected).toBe(error),
    );
  }
});
