import type { ByteSource, CallOptions, ObjectInfo, PendingObject, Store } from '@gantry/transport';
import { alterBody, alterPending, alterRangeCopy, alterStore } from '@gantry/transport';
import { Killed } from '../histories.ts';
import type { Effect, Faults } from './faults.ts';
import { afterWork, beforeWork, faultedBody, withFault } from './faults.ts';

/** A store with a fault at one of its calls, and the same as the given one otherwise. */
export function faultedStore(store: Store, faults: Faults): Store {
  const call = <T>(name: string, effect: Effect, options: CallOptions | undefined, work: () => Promise<T>): Promise<T> =>
    withFault(faults, { name, effect, signal: options?.signal }, work);
  async function* listed<T>(name: string, options: CallOptions | undefined, items: () => AsyncIterable<T>): AsyncGenerator<T> {
    const { call, fault } = faults.next(name, 'reads');
    await beforeWork(faults, fault, { name, effect: 'reads', signal: options?.signal });
    const closed = faults.opened(name);
    try {
      for await (const item of items()) {
        yield item;
        await afterWork(faults, call, fault);
      }
    } finally {
      closed();
    }
  }
  const salvage = store.salvage?.bind(store);
  const [hidden, unhide] = [store.hidden?.bind(store), store.unhide?.bind(store)];
  return alterStore(store, {
    stat: (key, options) => call(`stat ${key}`, 'reads', options, () => store.stat(key, options)),
    read: async (key, options) => {
      const name = `read ${key}`;
      const { signal } = options ?? {};
      const { call, fault } = faults.next(name, 'reads');
      await beforeWork(faults, fault, { name, effect: 'reads', signal });
      const source = await store.read(key, options);
      await afterWork(faults, call, fault).catch(async (error: unknown) => {
        await source[Symbol.asyncDispose]();
        throw error;
      });
      const body = alterBody(source, (chunks) => faultedBody(chunks, { faults, call, fault, signal }));
      return noted(body, faults.opened(name));
    },
    list: (prefix, options) => listed(`list ${prefix}`, options, () => store.list(prefix, options)),
    pending: (prefix, options) => listed(`pending ${prefix}`, options, () => store.pending(prefix, options)),
    ...(hidden === undefined ? {} : { hidden: (prefix, options) => listed(`hidden ${prefix}`, options, () => hidden(prefix, options)) }),
    ...(unhide === undefined
      ? {}
      : { unhide: (objects, options) => call(`unhide ${objects[0]?.key}`, 'adds', options, () => unhide(objects, options)) }),
    begin: async (key, options) => faultedWrite(await call(`begin ${key}`, 'adds', options, () => store.begin(key, options)), faults),
    resume: async (token, options) => faultedWrite(await call('resume', 'adds', options, () => store.resume(token, options)), faults),
    ...(salvage === undefined ? {} : { salvage: (token, options) => call('salvage', 'adds', options, () => salvage(token, options)) }),
    clear: (tokens, options) => call('clear', 'removes', options, () => store.clear(tokens, options)),
    remove: (keys, options) => call(`remove ${keys.join(' ')}`, 'removes', options, () => store.remove(keys, options)),
  });
}

/** A body that says when it is closed: by its end, or by disposing of it. */
function noted(body: ByteSource, closed: () => void): ByteSource {
  const until = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks;
    } finally {
      closed();
    }
  };
  return {
    ...alterBody(body, until),
    [Symbol.asyncDispose]: () => {
      closed();
      return body[Symbol.asyncDispose]();
    },
  };
}

function faultedWrite(pending: PendingObject, faults: Faults): PendingObject {
  const name = `append ${pending.key}`;
  const closed = faults.opened(`begin ${pending.key}`);
  const closing = async (work: () => Promise<void>): Promise<void> => {
    closed();
    if (faults.wasKilled) throw new Killed();
    await work();
  };
  const leave = pending.leave?.bind(pending);
  return alterPending(pending, {
    append: async (source, options) => {
      const { signal } = options ?? {};
      const { call, fault } = faults.next(name, 'adds');
      await beforeWork(faults, fault, { name, effect: 'adds', signal });
      await pending.append(faultedBody(source, { faults, call, fault, signal }), options);
      await afterWork(faults, call, fault);
    },
    ...alterRangeCopy(pending, (copy, _range, options) => withFault(faults, { name, effect: 'adds', signal: options?.signal }, copy)),
    commit: async (digest, options) => {
      const { signal } = options ?? {};
      const work = (): Promise<ObjectInfo> => pending.commit(digest, options);
      const info = await withFault(faults, { name: `commit ${pending.key}`, effect: 'adds', signal }, work);
      closed();
      return info;
    },
    discard: () => closing(() => pending.discard()),
    suspend: () => closing(() => pending.suspend()),
    ...(leave === undefined ? {} : { leave: () => (closed(), leave()) }),
    [Symbol.asyncDispose]: async () => {
      closed();
      if (!faults.wasKilled) await pending[Symbol.asyncDispose]();
    },
  });
}
