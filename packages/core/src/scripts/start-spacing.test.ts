import { expect, test } from 'vitest';
import { StartSpacing } from './start-spacing.ts';

const never = new AbortController().signal;

test('starts are more than a second apart, in the order of asking, and the first does not wait', async () => {
  const spacing = new StartSpacing();
  let isLate = false;
  const late = setTimeout(() => {
    isLate = true;
  }, 1000);
  const order: number[] = [];
  const starts = await Promise.all(
    [0, 1, 2].map(async (index) => {
      await spacing.turn(never);
      order.push(index);
      if (index === 0) {
        expect(isLate).toBe(false);
        clearTimeout(late);
      }
      return performance.now();
    }),
  );
  expect(order).toEqual([0, 1, 2]);
  const [first = 0, second = 0, third = 0] = starts;
  expect(second - first).toBeGreaterThan(1000);
  expect(third - second).toBeGreaterThan(1000);
});

test('one that gives up is not waited for, and lets nobody past those before it', async () => {
  const spacing = new StartSpacing();
  await spacing.turn(never);
  const started = new Map<string, number>();
  const second = spacing.turn(never).then(() => started.set('second', performance.now()));
  const givingUp = new AbortController();
  const third = spacing.turn(givingUp.signal);
  const fourth = spacing.turn(never).then(() => started.set('fourth', performance.now()));
  givingUp.abort(new Error('enough'));
  await expect(third).rejects.toThrow('enough');
  expect(started.size).toBe(0);
  await Promise.all([second, fourth]);
  expect((started.get('fourth') ?? 0) - (started.get('second') ?? 0)).toBeGreaterThan(1000);
});
