import { describe, expect, test } from 'vitest';
import { pieces, put, textOf } from '../test/objects.ts';
import { storeConformance } from './conformance/index.ts';
import { StoreError } from './errors.ts';
import type { LogEntry } from './log.ts';
import { withLog } from './log.ts';
import type { Store } from './store.ts';
import { Memory, MemoryStore, faultyStore } from './testing/index.ts';

type Shown = Omit<LogEntry, 'ms'>;

function logged(store: Store): { store: Store; entries: () => Shown[] } {
  const all: LogEntry[] = [];
  return {
    store: withLog(store, (entry) => all.push(entry)),
    entries: () =>
      all.splice(0).map(({ ms, ...entry }) => {
        expect(ms).toBeGreaterThanOrEqual(0);
        return entry;
      }),
  };
}

test('every call is logged when it has ended, with its number of bytes or items', async () => {
  const { store, entries } = logged(new MemoryStore());
  await put(store, 'a/b', 'content');
  expect(entries()).toEqual([
    { call: 'begin', of: 'a/b', outcome: 'ok' },
    { call: 'append', of: 'a/b', outcome: 'ok', bytes: 7 },
    { call: 'commit', of: 'a/b', outcome: 'ok' },
  ]);
  await store.stat('a/b');
  await textOf(await store.read('a/b', { offset: 2 }));
  await Array.fromAsync(store.list('a/'));
  await Array.fromAsync(store.pending(''));
  await store.remove(['a/b', 'c']);
  expect(entries()).toEqual([
    { call: 'stat', of: 'a/b', outcome: 'ok' },
    { call: 'read', of: 'a/b', outcome: 'ok' },
    { call: 'body', of: 'a/b', outcome: 'ok', bytes: 5 },
    { call: 'list', of: 'a/', outcome: 'ok', count: 1 },
    { call: 'pending', of: '', outcome: 'ok', count: 0 },
    { call: 'remove', of: 'a/b', outcome: 'ok', count: 2 },
  ]);
});

test('an unfinished write that is suspended, resumed, discarded and cleared', async () => {
  const { store, entries } = logged(new MemoryStore());
  const pending = await store.begin('a');
  await pending.suspend();
  const { token } = pending;
  await (await store.resume(token)).discard();
  await store.clear([token]);
  expect(entries()).toEqual([
    { call: 'begin', of: 'a', outcome: 'ok' },
    { call: 'suspend', of: 'a', outcome: 'ok' },
    { call: 'resume', of: token, outcome: 'ok' },
    { call: 'discard', of: 'a', outcome: 'ok' },
    { call: 'clear', of: token, outcome: 'ok', count: 1 },
  ]);
});

test('a failed call is logged with its code, or as aborted or failed', async () => {
  const broken = new StoreError('unavailable', { message: 'gone' });
  const { store, entries } = logged(faultyStore(new MemoryStore(), { faults: [{ on: 'body', after: 3, error: broken }] }));
  const reason = new Error('enough');
  await expect(store.stat('missing')).rejects.toMatchObject({ code: 'not-found' });
  await expect(store.stat('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  await using pending = await store.begin('a');
  const error = new Error('the script failed');
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield* pieces('ab');
    throw error;
  }
  await expect(pending.append(failing())).rejects.toBe(error);
  await put(store, 'b', 'content');
  await expect(textOf(await store.read('b'))).rejects.toBe(broken);
  expect(entries().filter(({ outcome }) => outcome !== 'ok')).toEqual([
    { call: 'stat', of: 'missing', outcome: 'not-found' },
    { call: 'stat', of: 'a', outcome: 'aborted' },
    { call: 'append', of: 'a', outcome: 'failed', bytes: 2 },
    { call: 'body', of: 'b', outcome: 'unavailable', bytes: 3 },
  ]);
});

describe('it keeps the promises of a store', () => {
  const memory = new Memory();
  for (const { title, run } of storeConformance(async () => withLog(new MemoryStore(memory), () => undefined))) test(title, run);
});
