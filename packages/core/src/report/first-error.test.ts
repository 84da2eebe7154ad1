import type { PendingObject, Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { writeText } from '../exports/small-object.ts';
import { asGantryError } from '../exports/store-errors.ts';
import { describeFailure } from '../peer/failure.ts';
import { errorText } from './error-text.ts';
import { GantryError } from './errors.ts';
import { asFirstError, withFirstError } from './first-error.ts';

const ROOT = new GantryError('SCRIPT_FAILED', { message: 'the script failed', hint: 'Look.', disk: 1, details: ['its last line'] });

/** What JavaScript makes of a failure in a block whose resources all fail to be disposed. */
async function failing(first: unknown, ...later: readonly Error[]): Promise<unknown> {
  const work = async (): Promise<void> => {
    await using stack = new AsyncDisposableStack();
    for (const error of later.toReversed()) {
      stack.defer(() => {
        throw error;
      });
    }
    throw first;
  };
  return work().then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('an error that cleaning up hides', () => {
  test('is the one that is shown, with the later ones as details, in their order', async () => {
    const hidden = await failing(ROOT, new Error('cannot unlink'), new Error('cannot close'));
    expect(hidden).not.toBe(ROOT);
    const first = asFirstError(hidden);
    expect(first).toBeInstanceOf(GantryError);
    expect(first).toMatchObject({
      code: 'SCRIPT_FAILED',
      message: 'the script failed',
      hint: 'Look.',
      disk: 1,
      details: ['its last line', 'after that: cannot unlink', 'after that: cannot close'],
    });
    expect(errorText(hidden)).toBe('the script failed');
    await expect(withFirstError(() => Promise.reject(hidden))).rejects.toMatchObject({ code: 'SCRIPT_FAILED' });
    expect(describeFailure(hidden, 'transfer')).toMatchObject({ code: 'SCRIPT_FAILED', message: 'the script failed', disk: 1 });
  });

  test('of a signal is its very reason', async () => {
    const reason = new Error('interrupted');
    expect(asFirstError(await failing(reason, new Error('cannot close')))).toBe(reason);
  });

  test('of a store is translated', async () => {
    const hidden = await failing(new StoreError('full', { message: 'no space left' }), new Error('cannot unlink'));
    expect(asGantryError(hidden, 'memory:')).toMatchObject({
      code: 'STORE_FULL',
      message: 'store memory:: no space left',
      details: ['after that: cannot unlink'],
    });
  });

  test('that is not hidden stays as it is', () => {
    for (const error of [ROOT, new Error('x'), 'text', undefined]) expect(asFirstError(error)).toBe(error);
  });
});

describe('a store of which nothing can be removed any more', () => {
  const stuck = (): Store => {
    const store = new MemoryStore();
    return Object.assign(store, {
      begin: async (key: string): Promise<PendingObject> => {
        return {
          key,
          token: 'token',
          durableBytes: 0,
          append: () => Promise.reject(new StoreError('exists', { message: 'cannot append' })),
          commit: () => Promise.reject(new Error('not reached')),
          discard: () => Promise.reject(new StoreError('denied', { message: 'read-only' })),
          suspend: () => Promise.resolve(),
          [Symbol.asyncDispose]: () => Promise.reject(new StoreError('denied', { message: 'read-only' })),
        };
      },
    });
  };

  test('a small object fails with what failed first, so that callers can switch on it', async () => {
    await expect(writeText(stuck(), 'a', 'text')).rejects.toMatchObject({
      name: 'StoreError',
      code: 'exists',
      message: 'cannot append; after that: read-only',
    });
  });
});
