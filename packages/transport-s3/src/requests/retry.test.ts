import { describe, expect, test } from 'vitest';
import type { RetryClock, RetryPolicy } from './retry.ts';
import { retry } from './retry.ts';

const POLICY: RetryPolicy = { retryForMs: 10_000, minAttempts: 3, firstDelayMs: 100, maxDelayMs: 2000 };

/** A clock that moves only while the loop sleeps or an attempt takes time. */
class TestClock implements RetryClock {
  readonly waits: number[] = [];
  time = 0;
  #share: number;

  constructor(share = 1) {
    this.#share = share;
  }

  readonly now = (): number => this.time;
  readonly random = (): number => this.#share;
  readonly sleep = async (ms: number): Promise<void> => {
    this.waits.push(ms);
    this.time += ms;
  };
}

const passing = new Error('busy');

function failing(times: number, then = 'done'): (attempt: number) => Promise<string> {
  return async (attempt) => {
    if (attempt <= times) throw passing;
    return then;
  };
}

describe('trying again', () => {
  test('waits twice as long each time, up to a limit', async () => {
    const clock = new TestClock();
    expect(await retry(failing(7), { policy: POLICY, isTransient: () => true, clock })).toBe('done');
    expect(clock.waits).toEqual([100, 200, 400, 800, 1600, 2000, 2000]);
  });

  test('waits a random part of that, so that many clients do not come back at the same moment', async () => {
    const clock = new TestClock(0.25);
    await retry(failing(3), { policy: POLICY, isTransient: () => true, clock });
    expect(clock.waits).toEqual([25, 50, 100]);
  });

  test('stops with the last error after its time limit', async () => {
    const clock = new TestClock();
    let attempts = 0;
    await expect(retry(() => failing(Infinity)(++attempts), { policy: POLICY, isTransient: () => true, clock })).rejects.toBe(passing);
    expect(clock.time).toBeLessThanOrEqual(10_000);
    expect(clock.time).toBeGreaterThan(7000);
  });

  test('tries at least a few times, even if each takes long', async () => {
    const clock = new TestClock();
    let attempts = 0;
    const slow = async (): Promise<never> => {
      attempts += 1;
      clock.time += 60_000;
      throw passing;
    };
    await expect(retry(slow, { policy: POLICY, isTransient: () => true, clock })).rejects.toBe(passing);
    expect(attempts).toBe(3);
  });

  test('but stops earlier for slow failures with a limit of their own', async () => {
    const clock = new TestClock();
    let attempts = 0;
    const slow = async (): Promise<never> => {
      attempts += 1;
      clock.time += 60_000;
      throw passing;
    };
    await expect(retry(slow, { policy: POLICY, isTransient: () => true, slowLimitMs: () => 60_050, clock })).rejects.toBe(passing);
    expect(attempts).toBe(1);
    await expect(retry(slow, { policy: POLICY, isTransient: () => true, slowLimitMs: () => undefined, clock })).rejects.toBe(passing);
    expect(attempts).toBe(4);
  });

  test('does not repeat a permanent failure', async () => {
    let attempts = 0;
    await expect(retry(() => failing(Infinity)(++attempts), { policy: POLICY, isTransient: () => false })).rejects.toBe(passing);
    expect(attempts).toBe(1);
  });

  test('ends at once with the reason of its signal, also while it waits', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const policy = { ...POLICY, firstDelayMs: 1e9, maxDelayMs: 1e9, retryForMs: 1e12 };
    const result = retry(failing(Infinity), { policy, isTransient: () => true, signal: controller.signal });
    setImmediate(() => controller.abort(reason));
    await expect(result).rejects.toBe(reason);
    await expect(retry(failing(0), { policy, isTransient: () => true, signal: controller.signal })).rejects.toBe(reason);
  });
});
