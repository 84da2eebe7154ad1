import { describe, expect, test } from 'vitest';
import { BufferPool } from './buffer-pool.ts';
import { TransferLimit } from './transfer-limit.ts';

/** Whether a promise is settled already. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  await new Promise((resolve) => setImmediate(resolve));
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

describe('a limit of transfers', () => {
  test('limits their number', async () => {
    const limit = new TransferLimit({ maxCount: 2, maxBytes: Infinity });
    const leave = await limit.enter(1);
    await limit.enter(1);
    const third = limit.enter(1);
    expect(await isSettled(third)).toBe(false);
    expect(limit.tryEnter(1)).toBeUndefined();
    leave();
    expect(await isSettled(third)).toBe(true);
  });

  test('limits their bytes, but always allows one transfer of any size', async () => {
    const limit = new TransferLimit({ maxCount: 10, maxBytes: 100 });
    const leave = await limit.enter(1000);
    const second = limit.enter(1);
    expect(await isSettled(second)).toBe(false);
    leave();
    leave();
    await second;
    const large = limit.enter(100);
    expect(await isSettled(large)).toBe(false);
    expect(limit.tryEnter(99)).toBeUndefined();
  });

  test('keeps the order: a small one does not overtake a large one, or large ones would wait forever', async () => {
    const limit = new TransferLimit({ maxCount: 10, maxBytes: 100 });
    const leave = await limit.enter(60);
    const large = limit.enter(80);
    const small = limit.enter(10);
    expect(await isSettled(small)).toBe(false);
    leave();
    await large;
    await small;
  });

  test('forgets a transfer that stopped waiting', async () => {
    const limit = new TransferLimit({ maxCount: 1, maxBytes: 100 });
    const leave = await limit.enter(1);
    const controller = new AbortController();
    const impatient = limit.enter(1, controller.signal);
    const patient = limit.enter(1);
    controller.abort(new Error('enough'));
    await expect(impatient).rejects.toThrow('enough');
    leave();
    (await patient)();
    expect(limit.tryEnter(1)).toBeDefined();
  });

  test('can be exceeded for a transfer that must continue', async () => {
    const limit = new TransferLimit({ maxCount: 1, maxBytes: 100 });
    await limit.enter(1);
    const leave = limit.force(1);
    leave();
    expect(limit.tryEnter(1)).toBeUndefined();
  });
});

describe('the pool', () => {
  test('returns the same memory again, only for the same size', () => {
    const pool = new BufferPool(100);
    const buffer = pool.take(50);
    pool.give(buffer);
    expect(pool.take(40)).not.toBe(buffer);
    expect(pool.take(50)).toBe(buffer);
    expect(pool.take(50)).not.toBe(buffer);
  });

  test('stays within its limit, and drops the oldest buffers first', () => {
    const pool = new BufferPool(100);
    const [old, young] = [pool.take(60), pool.take(50)];
    pool.give(old);
    pool.give(young);
    expect(pool.take(60)).not.toBe(old);
    expect(pool.take(50)).toBe(young);
  });
});
