import { describe, expect, test } from 'vitest';
import { closeOnFailure, failureText, firstFailure, laterFailures } from './failures.ts';

const [first, later] = [new Error('first'), new Error('later')];

function fail(error: Error): () => Promise<never> {
  return async () => {
    throw error;
  };
}

async function rejection(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('closeOnFailure', () => {
  test('does not close what works', async () => {
    let closed = 0;
    const close = async (): Promise<void> => void (closed += 1);
    expect(await closeOnFailure(close, async () => 'open')).toBe('open');
    expect(closed).toBe(0);
  });

  test('closes after a failure, which is thrown unchanged', async () => {
    let closed = 0;
    const close = async (): Promise<void> => void (closed += 1);
    expect(await rejection(closeOnFailure(close, fail(first)))).toBe(first);
    expect(closed).toBe(1);
  });

  test('keeps the first failure if closing fails too, and adds the later one', async () => {
    const error = await rejection(closeOnFailure(fail(later), fail(first)));
    expect(firstFailure(error)).toBe(first);
    expect(laterFailures(error)).toEqual([later]);
  });

  test('adds all failures in order if it is nested', async () => {
    const last = new Error('last');
    const error = await rejection(closeOnFailure(fail(last), () => closeOnFailure(fail(later), fail(first))));
    expect(firstFailure(error)).toBe(first);
    expect(laterFailures(error)).toEqual([later, last]);
  });
});

test('the text of failures is that of the first; a failure without one has its name', async () => {
  const fails = async (): Promise<void> => {
    await using _owned = { [Symbol.asyncDispose]: fail(later) };
    throw first;
  };
  const error = await rejection(fails());
  expect(error).toBeInstanceOf(SuppressedError);
  expect(failureText(error)).toBe('first');
  expect(failureText(new TypeError(''))).toBe('TypeError');
  expect(failureText('thrown')).toBe('thrown');
});

test('the text of a host whose addresses all failed is that of each address', async () => {
  // As Node makes it for a name with an IPv6 and an IPv4 address.
  const refused = ['::1', '127.0.0.1'].map((address) => new Error(`connect ECONNREFUSED ${address}:1`));
  const both = 'connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1';
  expect(failureText(new AggregateError(refused))).toBe(both);
  expect(failureText(await rejection(closeOnFailure(fail(later), fail(new AggregateError(refused)))))).toBe(both);
  expect(failureText(new AggregateError([first, first]))).toBe('first');
  expect(failureText(new AggregateError(refused, 'all failed'))).toBe('all failed');
  expect(failureText(new AggregateError([]))).toBe('AggregateError');
});
