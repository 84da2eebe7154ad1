import { expect, test } from 'vitest';

import { Slots } from './slots.ts';

test('who waits gets the place in turn, and who gives up does not lose it for others', async () => {
  const slots = new Slots(1);
  await slots.take();
  const order: string[] = [];
  const impatient = new AbortController();
  const first = slots.take(impatient.signal);
  const second = slots.take().then(() => order.push('second'));
  const third = slots.take().then(() => order.push('third'));
  impatient.abort(new Error('enough'));
  await expect(first).rejects.toThrow('enough');
  slots.give();
  await second;
  slots.give();
  await third;
  expect(order).toEqual(['second', 'third']);
  await expect(slots.take(impatient.signal)).rejects.toThrow('enough');
});
