import { describe, expect, test } from 'vitest';
import { abortable } from './abortable.ts';

/** A source that counts how often it is closed; after its items it fails, ends, or never answers. */
function sourceOf(items: readonly number[], end: 'ends' | 'fails' | 'hangs', closing?: Error) {
  const seen = { started: 0, closed: 0 };
  const left = [...items];
  const iterator: AsyncIterator<number> = {
    async next() {
      const value = left.shift();
      if (value !== undefined) return { done: false, value };
      if (end === 'fails') throw new Error('damaged');
      return end === 'ends' ? { done: true, value: undefined } : await new Promise<never>(() => undefined);
    },
    async return() {
      seen.closed += 1;
      if (closing !== undefined) throw closing;
      return { done: true, value: undefined };
    },
  };
  const source: AsyncIterable<number> = {
    [Symbol.asyncIterator]: () => {
      seen.started += 1;
      return iterator;
    },
  };
  return { source, seen };
}

async function collect(source: AsyncIterable<number>, onItem: (item: number) => void = () => undefined): Promise<readonly number[]> {
  const items: number[] = [];
  for await (const item of source) {
    items.push(item);
    onItem(item);
  }
  return items;
}

const REASON = new Error('enough');

describe('an abortable iteration', () => {
  test('gives all items, and leaves a source alone that has ended', async () => {
    const { source, seen } = sourceOf([1, 2, 3], 'ends');
    expect(await collect(abortable(source, new AbortController().signal))).toEqual([1, 2, 3]);
    expect(await collect(abortable(sourceOf([1, 2], 'ends').source, undefined))).toEqual([1, 2]);
    expect(seen).toEqual({ started: 1, closed: 0 });
  });

  test('rejects with what the source fails with, which is not closed then', async () => {
    const { source, seen } = sourceOf([1], 'fails');
    await expect(collect(abortable(source, new AbortController().signal))).rejects.toThrow('damaged');
    expect(seen.closed).toBe(0);
  });

  test.each([undefined, new Error('cannot close')])('rejects with the reason before the first item, and closes: %s', async (closing) => {
    const { source, seen } = sourceOf([1], 'ends', closing);
    await expect(collect(abortable(source, AbortSignal.abort(REASON)))).rejects.toBe(REASON);
    expect(seen).toEqual({ started: 1, closed: 1 });
  });

  test.each([undefined, new Error('cannot close')])('rejects with the reason between two items, and closes: %s', async (closing) => {
    const { source, seen } = sourceOf([1, 2], 'ends', closing);
    const controller = new AbortController();
    await expect(collect(abortable(source, controller.signal), () => controller.abort(REASON))).rejects.toBe(REASON);
    expect(seen.closed).toBe(1);
  });

  test.each([undefined, new Error('cannot close')])('rejects with the reason while the source hangs, and closes: %s', async (closing) => {
    const { source, seen } = sourceOf([1], 'hangs', closing);
    const controller = new AbortController();
    const collecting = collect(abortable(source, controller.signal), () => setImmediate(() => controller.abort(REASON)));
    await expect(collecting).rejects.toBe(REASON);
    expect(seen.closed).toBe(1);
  });

  test('does not wait for a hanging source to close', async () => {
    const controller = new AbortController();
    async function* hanging(): AsyncGenerator<number, void, undefined> {
      yield 1;
      await new Promise(() => undefined);
    }
    const collecting = collect(abortable(hanging(), controller.signal), () => setImmediate(() => controller.abort(REASON)));
    await expect(collecting).rejects.toBe(REASON);
  });

  test('closes the source when its reader leaves, and waits for that', async () => {
    let closed = false;
    async function* source(): AsyncGenerator<number, void, undefined> {
      try {
        yield 1;
      } finally {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
        closed = true;
      }
    }
    for await (const _item of abortable(source(), new AbortController().signal)) break;
    expect(closed).toBe(true);
  });

  test('reports an error of closing when there is no other', async () => {
    const { source } = sourceOf([1, 2], 'ends', new Error('cannot close'));
    const leaving = (async () => {
      for await (const _item of abortable(source, new AbortController().signal)) break;
    })();
    await expect(leaving).rejects.toThrow('cannot close');
  });
});
