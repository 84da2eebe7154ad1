import { describe, expect, test } from 'vitest';
import { sideBySide } from './side-by-side.ts';

const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

describe('sideBySide', () => {
  test('gives the results in the order of the items, however long each takes', async () => {
    const gate = Promise.withResolvers<void>();
    const results = await sideBySide([1, 2, 3], 3, new AbortController().signal, async (n) => {
      if (n === 1) await gate.promise;
      if (n === 3) gate.resolve();
      return n * 10;
    });
    expect(results).toEqual([10, 20, 30]);
  });

  test('never runs more than the limit at once', async () => {
    let running = 0;
    let most = 0;
    await sideBySide([...Array(20).keys()], 3, new AbortController().signal, async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
    });
    expect(most).toBe(3);
  });

  test('ends the others when one fails, waits for them, and rejects with the first failure', async () => {
    const ended: number[] = [];
    const failing = sideBySide([0, 1, 2], 3, new AbortController().signal, async (n, signal) => {
      if (n === 1) throw new Error('disk 1');
      await never(signal).finally(() => ended.push(n));
    });
    await expect(failing).rejects.toThrow('disk 1');
    expect(ended.toSorted((a, b) => a - b)).toEqual([0, 2]);
  });

  test('starts nothing more after a failure', async () => {
    const started: number[] = [];
    const failing = sideBySide([0, 1, 2], 1, new AbortController().signal, async (n) => {
      started.push(n);
      throw new Error('first');
    });
    await expect(failing).rejects.toThrow('first');
    expect(started).toEqual([0]);
  });

  test('gives the results when the signal comes with the end of the last item: what is done is done', async () => {
    const controller = new AbortController();
    const results = sideBySide([1, 2], 2, controller.signal, async (n) => {
      if (n === 2) controller.abort(new Error('interrupted'));
      return n;
    });
    expect(await results).toEqual([1, 2]);
    await expect(sideBySide([1], 1, controller.signal, async (n) => n)).rejects.toThrow('interrupted');
  });

  test('rejects with the reason of the signal, after all have ended', async () => {
    const controller = new AbortController();
    const reason = new Error('interrupted');
    const running = sideBySide([0, 1], 2, controller.signal, async (n, signal) => {
      if (n === 1) controller.abort(reason);
      await never(signal);
    });
    await expect(running).rejects.toBe(reason);
  });
});
