import { describe, expect, it } from 'vitest';
import type { RetryClock, RetryPolicy } from './retry.ts';
import { retry } from './retry.ts';

const POLICY: RetryPolicy = { retryForMs: 10_000, leastAttempts: 3, firstDelayMs: 100, maxDelayMs: 2000 };

/** A clock that moves only when somebody sleeps, or an attempt takes its time. */
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
  it('waits twice as long each time, up to a limit', async () => {
    const clock = new TestClock();
    expect(await retry(failing(7), { policy: POLICY, mayPass: () => true, clock })).toBe('done');
    expect(clock.waits).toEqual([100, 200, 400, 800, 1600, 2000, 2000]);
  });

  it('waits a random share of that, so that many do not come back at once', async () => {
    const clock = new TestClock(0.25);
    await retry(failing(3), { policy: POLICY, mayPass: () => true, clock });
    expect(clock.waits).toEqual([25, 50, 100]);
  });

  it('stops with the last error when it has lasted too long', async () => {
    const clock = new TestClock();
    let attempts = 0;
    await expect(retry(() => failing(Infinity)(++attempts), { policy: POLICY, mayPass: () => true, clock })).rejects.toBe(passing);
    expect(clock.time).toBeLessThanOrEqual(10_000);
    expect(clock.time).toBeGreaterThan(7000);
  });

  it('tries a few times at least, however long each takes', async () => {
    const clock = new TestClock();
    let attempts = 0;
    const slow = async (): Promise<never> => {
      attempts += 1;
      clock.time += 60_000;
      throw passing;
    };
    await expect(retry(slow, { policy: POLICY, mayPass: () => true, clock })).rejects.toBe(passing);
    expect(attempts).toBe(3);
  });

  it('but not so long where each takes its time, and there is a limit for that', async () => {
    const clock = new TestClock();
    let attempts = 0;
    const slow = async (): Promise<never> => {
      attempts += 1;
      clock.time += 60_000;
      throw passing;
    };
    await expect(retry(slow, { policy: POLICY, mayPass: () => true, slowLimitMs: () => 60_050, clock })).rejects.toBe(passing);
    expect(attempts).toBe(1);
    await expect(retry(slow, { policy: POLICY, mayPass: () => true, slowLimitMs: () => undefined, clock })).rejects.toBe(passing);
    expect(attempts).toBe(4);
  });

  it('does not try again what will not pass', async () => {
    let attempts = 0;
    await expect(retry(() => failing(Infinity)(++attempts), { policy: POLICY, mayPass: () => false })).rejects.toBe(passing);
    expect(attempts).toBe(1);
  });

  it('ends at once with the reason of its signal, while it waits too', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const policy = { ...POLICY, firstDelayMs: 1e9, maxDelayMs: 1e9, retryForMs: 1e12 };
    const result = retry(failing(Infinity), { policy, mayPass: () => true, signal: controller.signal });
    setImmediate(() => controller.abort(reason));
    await expect(result).rejects.toBe(reason);
    await expect(retry(failing(0), { policy, mayPass: () => true, signal: controller.signal })).rejects.toBe(reason);
  });
});
