import { once } from 'node:events';
import { expect, test } from 'vitest';
import { abortAt, unlessEnded } from './window-end.ts';

/** Never settles but for its signal. */
async function untilAborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
}

const NEVER = new AbortController().signal;

test('what runs at the end of the window is cancelled, and that is not a failure', async () => {
  using end = abortAt(new Date(Date.now() + 20));
  expect(await unlessEnded(end.signal, NEVER, untilAborted)).toBeUndefined();
});

test('a signal counts more than the end of the window', async () => {
  using end = abortAt(new Date(Date.now() - 1));
  await expect(unlessEnded(end.signal, AbortSignal.abort(new Error('stop')), untilAborted)).rejects.toThrow('stop');
});

test('without an end, work goes on, and its failure is its own', async () => {
  using end = abortAt(undefined);
  expect(await unlessEnded(end.signal, NEVER, async () => 'done')).toBe('done');
  await expect(unlessEnded(end.signal, NEVER, async () => await Promise.reject(new Error('broken')))).rejects.toThrow('broken');
});
