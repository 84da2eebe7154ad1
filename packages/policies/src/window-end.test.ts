import { once } from 'node:events';
import { expect, test } from 'vitest';
import { abortAt, isWindowEnd } from './window-end.ts';

test('the end of a window is the reason of its signal', async () => {
  using end = abortAt(new Date(Date.now() + 20));
  await once(end.signal, 'abort');
  expect(isWindowEnd(end.signal.reason)).toBe(true);
  expect(isWindowEnd(new Error('the window of the policy has ended'))).toBe(false);
});

test('without an end, the signal is never aborted', () => {
  using end = abortAt(undefined);
  expect(end.signal.aborted).toBe(false);
});
