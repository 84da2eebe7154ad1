import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { alterPending, alterStore } from '../alter.ts';
import { StoreError, isStoreError } from '../errors.ts';
import type { ByteSource, PendingObject, ReadOptions, Store } from '../store.ts';
import { Memory, MemoryStore } from '../testing/index.ts';
import { ConformanceFailure, storeConformance } from './index.ts';

interface PlantedBug {
  readonly bug: string;
  /** The case that must fail. */
  readonly caughtBy: string;
  readonly plant: (store: Store, memory: Memory) => Store;
}

/** Plants a bug in the writes that `begin` and `resume` return. */
function inPending(store: Store, alter: (pending: PendingObject) => PendingObject): Store {
  return alterStore(store, {
    begin: async (key, options) => alter(await store.begin(key, options)),
    resume: async (token, options) => alter(await store.resume(token, options)),
  });
}

/** Asks for chunks without waiting for the previous ones. */
async function* drained(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  for (;;) {
    const results = await Promise.all([iterator.next(), iterator.next()]);
    for (const { done, value } of results) {
      if (done === true) return;
      yield value;
    }
  }
}

async function* kept(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  yield* chunks;
}

/** Opens the object only when the first byte is asked for. */
function openedLate(store: Store, key: string, options: ReadOptions | undefined): ByteSource {
  return {
    length: 10,
    objectSize: 10,
    async *[Symbol.asyncIterator]() {
      yield* await store.read(key, options);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function forgiving<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw isStoreError(error, 'invalid-key') ? new StoreError('not-found', { message: 'nothing there' }) : error;
  }
}

const BUGS: readonly PlantedBug[] = [
  {
    bug: 'a range is ignored',
    caughtBy: 'reading: any range of bytes',
    plant: (store) => alterStore(store, { read: (key, { signal } = {}) => store.read(key, { signal }) }),
  },
  {
    bug: 'a range beyond the end is truncated',
    caughtBy: 'reading: a range that exceeds the object is refused before the first byte',
    plant: (store) =>
      alterStore(store, {
        read: async (key, { offset = 0, length, signal } = {}) => {
          const { size } = await store.stat(key);
          return store.read(key, { offset, signal, length: length === undefined ? undefined : Math.min(length, size - offset) });
        },
      }),
  },
  {
    bug: 'an object is visible before commit',
    caughtBy: 'writing: nothing is visible before commit',
    plant: (store, memory) =>
      alterStore(store, {
        begin: async (key, options) => {
          const pending = await store.begin(key, options);
          memory.objects.set(key, { bytes: Buffer.alloc(0), modified: new Date() });
          return pending;
        },
      }),
  },
  {
    bug: 'what is salvaged has other bytes',
    caughtBy: 'salvage: what is durable of a write becomes the object, or nothing has changed',
    plant: (store, memory) =>
      alterStore(store, {
        salvage: async (token, options) => {
          const unfinished = memory.unfinished.get(token);
          if (unfinished !== undefined) unfinished.bytes = Buffer.alloc(unfinished.bytes.length, 'x');
          return await store.salvage?.(token, options);
        },
      }),
  },
  {
    bug: 'unfinished objects are listed',
    caughtBy: 'listing: unfinished writes are not listed',
    plant: (store, memory) =>
      alterStore(store, {
        async *list(prefix, options) {
          yield* store.list(prefix, options);
          for (const { key, started } of memory.unfinished.values()) yield { key, size: 0, modified: started };
        },
      }),
  },
  {
    bug: 'the signal of append is ignored',
    caughtBy: 'cancelling: append that is aborted while it waits for its source closes the source, and leaves nothing',
    plant: (store) => inPending(store, (pending) => alterPending(pending, { append: (source) => pending.append(source) })),
  },
  {
    bug: 'the signal of commit is ignored',
    caughtBy: 'cancelling: commit with an aborted signal rejects with the reason and leaves nothing',
    plant: (store) => inPending(store, (pending) => alterPending(pending, { commit: (digest) => pending.commit(digest) })),
  },
  {
    bug: 'the signal of a body is ignored',
    caughtBy: 'cancelling: reading a body can be aborted, with the reason',
    plant: (store) => alterStore(store, { read: (key, { offset, length } = {}) => store.read(key, { offset, length }) }),
  },
  {
    bug: 'the signal of a listing is ignored',
    caughtBy: 'cancelling: a listing can be aborted, with the reason',
    plant: (store) => alterStore(store, { list: (prefix) => store.list(prefix) }),
  },
  ...(['stat', 'read', 'list', 'begin', 'resume', 'pending', 'clear', 'remove'] as const).map((name) => ({
    bug: `${name} wraps the reason of the signal`,
    caughtBy: `cancelling: ${name} with an aborted signal rejects with the reason, and does nothing`,
    plant: (store: Store) => {
      const refuse = (signal: AbortSignal | undefined): void => {
        if (signal?.aborted === true) throw new StoreError('unavailable', { message: 'aborted', cause: signal.reason });
      };
      return alterStore(store, {
        stat: async (key, options) => (refuse(options?.signal), store.stat(key, options)),
        read: async (key, options) => (refuse(options?.signal), store.read(key, options)),
        list: (prefix, options) => (refuse(options?.signal), store.list(prefix, options)),
        begin: async (key, options) => (refuse(options?.signal), store.begin(key, options)),
        resume: async (token, options) => (refuse(options?.signal), store.resume(token, options)),
        pending: (prefix, options) => (refuse(options?.signal), store.pending(prefix, options)),
        clear: async (tokens, options) => (refuse(options?.signal), store.clear(tokens, options)),
        remove: async (keys, options) => (refuse(options?.signal), store.remove(keys, options)),
      });
    },
  })),
  {
    bug: 'the digest is not compared',
    caughtBy: 'commit: another SHA-256 is refused, and nothing is left',
    plant: (store) =>
      inPending(store, (pending) => {
        const hash = createHash('sha256');
        return alterPending(pending, {
          append: (source, options) =>
            pending.append(
              (async function* () {
                for await (const chunk of source) {
                  hash.update(chunk);
                  yield chunk;
                }
              })(),
              options,
            ),
          commit: ({ size }, options) => pending.commit({ size, sha256: hash.digest('hex') }, options),
        });
      }),
  },
  {
    bug: 'a listing is not sorted',
    caughtBy: 'listing: objects are listed in the order of the bytes of their keys, with their size',
    plant: (store) =>
      alterStore(store, {
        async *list(prefix, options) {
          // As in a file system whose directories sort without their slash.
          const all = await Array.fromAsync(store.list(prefix, options));
          const name = (key: string): string => key.replaceAll('/', '\u0001');
          yield* all.toSorted((a, b) => (name(a.key) < name(b.key) ? -1 : 1));
        },
      }),
  },
  {
    bug: 'a prefix matches characters instead of parts',
    caughtBy: 'keys: an unsafe prefix is refused',
    plant: (store) =>
      alterStore(store, {
        async *list(prefix, options) {
          for await (const info of store.list('', options)) if (info.key.startsWith(prefix)) yield info;
        },
      }),
  },
  {
    bug: 'discard leaves the unfinished write',
    caughtBy: 'commit: a discarded write leaves nothing, and can be discarded again',
    plant: (store) => inPending(store, (pending) => alterPending(pending, { discard: async () => undefined })),
  },
  {
    bug: 'disposing leaves the unfinished write',
    caughtBy: 'commit: a disposed write leaves nothing',
    plant: (store) => inPending(store, (pending) => alterPending(pending, { [Symbol.asyncDispose]: async () => undefined })),
  },
  {
    bug: 'remove is not idempotent',
    caughtBy: 'removing: removing a missing object succeeds',
    plant: (store) =>
      alterStore(store, {
        remove: async (keys, options) => {
          for (const key of keys) await store.stat(key, options);
          await store.remove(keys, options);
        },
      }),
  },
  {
    bug: 'remove also removes objects below',
    caughtBy: 'removing: removing the start of a key removes nothing',
    plant: (store) =>
      alterStore(store, {
        remove: async (keys, options) => {
          for (const key of keys) for await (const { key: below } of store.list(`${key}/`)) await store.remove([below]);
          await store.remove(keys, options);
        },
      }),
  },
  {
    bug: 'create-only is not honoured',
    caughtBy: 'create-only: of two writers of one key one wins and the other gets exists',
    plant: (store) => alterStore(store, { begin: (key, options) => store.begin(key, { ...options, ifExists: 'replace' }) }),
  },
  {
    bug: 'the store denies create-only, but accepts the option',
    caughtBy: 'create-only: an existing key is refused, at commit at the latest',
    plant: (store) => alterStore(store, { capabilities: { ...store.capabilities, createOnly: false } }),
  },
  {
    bug: 'the store denies ranged reads, but accepts a range',
    caughtBy: 'reading: any range of bytes',
    plant: (store) => alterStore(store, { capabilities: { ...store.capabilities, rangedRead: false } }),
  },
  {
    bug: 'the store denies resuming, but resumes',
    caughtBy: 'resume: an unknown token is not found',
    plant: (store) => alterStore(store, { capabilities: { ...store.capabilities, resumableWrite: false } }),
  },
  {
    bug: 'a replacement removes the old object before commit',
    caughtBy: 'commit: a refused replacement leaves the old object',
    plant: (store) =>
      alterStore(store, {
        begin: async (key, options) => {
          if (options?.ifExists === 'replace') await store.remove([key]);
          return store.begin(key, options);
        },
      }),
  },
  {
    bug: 'a key is not validated',
    caughtBy: 'keys: an unsafe key is refused by every call',
    plant: (store) => alterStore(store, { stat: (key, options) => forgiving(() => store.stat(key, options)) }),
  },
  {
    bug: 'remove validates keys one by one',
    caughtBy: 'keys: one unsafe key among others is refused before anything happens',
    plant: (store) =>
      alterStore(store, {
        remove: async (keys, options) => {
          for (const key of keys) await store.remove([key], options);
        },
      }),
  },
  {
    bug: 'not-found is only reported while reading the body',
    caughtBy: 'reading: a missing object is not found, before the first byte',
    plant: (store) => alterStore(store, { read: async (key, options) => openedLate(store, key, options) }),
  },
  {
    bug: 'the source is drained without back-pressure',
    caughtBy: 'streams: append asks for one chunk at a time',
    plant: (store) =>
      inPending(store, (pending) => alterPending(pending, { append: (source, options) => pending.append(drained(source), options) })),
  },
  {
    bug: 'a chunk is kept without a copy',
    caughtBy: 'streams: a chunk is used before the next one is asked for: its source may reuse the memory',
    plant: (store) =>
      inPending(store, (pending) => alterPending(pending, { append: (source, options) => pending.append(kept(source), options) })),
  },
  {
    bug: "the source's error is wrapped",
    caughtBy: 'streams: errors of the source are passed on unchanged, and nothing is left',
    plant: (store) =>
      inPending(store, (pending) =>
        alterPending(pending, {
          append: (source, options) =>
            pending.append(source, options).catch((cause: unknown) => {
              throw new StoreError('unavailable', { message: 'append failed', cause });
            }),
        }),
      ),
  },
  {
    bug: 'a resumed write restarts from nothing',
    caughtBy: 'resume: another connection continues a suspended write from exactly the durable byte',
    plant: (store, memory) =>
      alterStore(store, {
        resume: async (token, options) => {
          const pending = await store.resume(token, options);
          const durable = pending.durableBytes;
          const unfinished = memory.unfinished.get(token);
          if (unfinished !== undefined) unfinished.bytes = Buffer.alloc(0);
          return Object.defineProperty(alterPending(pending, {}), 'durableBytes', { value: durable });
        },
      }),
  },
  {
    bug: 'a writer that was taken for dead writes into the object that its successor committed',
    caughtBy: 'resume: a writer that was taken for dead cannot change what its successor commits',
    plant: (store, memory) =>
      inPending(store, (pending) =>
        alterPending(pending, {
          append: async (source, options) => {
            const object = memory.objects.get(pending.key);
            if (object === undefined) return pending.append(source, options);
            const more = await Array.fromAsync(source);
            memory.objects.set(pending.key, { ...object, bytes: Buffer.concat([object.bytes, ...more]) });
          },
        }),
      ),
  },
  {
    bug: 'disposing a suspended write ends it, even if another writer continues it',
    caughtBy: 'resume: disposing a suspended writer late does not harm its successor',
    plant: (store, memory) =>
      inPending(store, (pending) =>
        alterPending(pending, { [Symbol.asyncDispose]: async () => void memory.unfinished.delete(pending.token) }),
      ),
  },
  {
    bug: 'a copied range has other bytes',
    caughtBy: 'range copy: ranges of several objects and bytes are put together in the order of the calls',
    plant: (store, memory) =>
      inPending(store, (pending) =>
        alterPending(pending, {
          appendRange: async ({ offset, length }) => {
            const unfinished = memory.unfinished.get(pending.token);
            if (unfinished !== undefined) unfinished.bytes = Buffer.concat([unfinished.bytes, Buffer.alloc(length, offset)]);
            return 0;
          },
        }),
      ),
  },
  {
    bug: 'a range is copied although the digest of the write is computed',
    caughtBy: 'range copy: a write whose digest is computed refuses ranges',
    plant: (store) => alterStore(store, { begin: (key, options) => store.begin(key, { ...options, digestBy: 'reader' }) }),
  },
  {
    bug: 'the store denies copies of ranges, but makes them',
    caughtBy: 'range copy: an object can be a copy of one range, small or empty',
    plant: (store) => alterStore(store, { capabilities: { ...store.capabilities, rangedCopy: false } }),
  },
  {
    bug: 'a range beyond the object is cut',
    caughtBy: 'range copy: a range beyond the object is refused, and a missing object is not found',
    plant: (store) => inPending(store, (pending) => alterPending(pending, { appendRange: async () => 0 })),
  },
  {
    bug: 'clear removes nothing',
    caughtBy: 'resume: pending lists unfinished writes, to another connection too, and clear removes them',
    plant: (store) => alterStore(store, { clear: async () => undefined }),
  },
];

async function failureOf(run: () => Promise<void>): Promise<unknown> {
  return run().then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('a planted bug is caught', () => {
  test.each(BUGS)('$bug', async ({ plant, caughtBy }) => {
    const memory = new Memory();
    const cases = storeConformance(async () => plant(new MemoryStore(memory), memory), { patienceMs: 300 });
    const found = cases.find(({ title }) => title === caughtBy);
    if (found === undefined) throw new Error(`no such case: ${caughtBy}`);
    expect(await failureOf(found.run)).toBeInstanceOf(ConformanceFailure);
  });
});
