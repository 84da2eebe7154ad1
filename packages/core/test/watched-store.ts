import type { CallOptions, PendingObject, Store, StoreCapabilities } from '@gantry/transport';

/** One call of a store, such as `commit web1/20261123T081500Z/manifest.json`. */
export type StoreCall =
  `${'stat' | 'read' | 'list' | 'begin' | 'append' | 'commit' | 'remove' | 'pending' | 'clear' | 'salvage'} ${string}`;

export interface Watching {
  /** Called before each call; what it throws is what the call rejects with, and then nothing happens. */
  readonly before?: (call: StoreCall) => void | Promise<void>;
  /** Called after each call that did its work; the call rejects with what it throws. */
  readonly after?: (call: StoreCall) => void | Promise<void>;
  readonly capabilities?: Partial<StoreCapabilities>;
  /** Changes chunks on their way into the store. */
  readonly alter?: (key: string, chunk: Uint8Array) => Uint8Array;
}

/** A store whose calls can be seen, and made to fail before or after they did their work. */
export function watchedStore(
  store: Store,
  { before = () => {}, after = () => {}, capabilities, alter = (_key, chunk) => chunk }: Watching,
): Store {
  const salvage = store.salvage?.bind(store);
  const watched = async <T>(call: StoreCall, work: () => Promise<T>): Promise<T> => {
    await before(call);
    const result = await work();
    await after(call);
    return result;
  };
  async function* watchedList<T>(call: StoreCall, items: AsyncIterable<T>): AsyncGenerator<T> {
    await before(call);
    yield* items;
    await after(call);
  }
  async function* altered(key: string, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) yield alter(key, chunk);
  }
  const wrap = (pending: PendingObject): PendingObject => ({
    key: pending.key,
    token: pending.token,
    get durableBytes() {
      return pending.durableBytes;
    },
    append: (source, options) => watched(`append ${pending.key}`, () => pending.append(altered(pending.key, source), options)),
    ...(pending.appendRange === undefined || capabilities?.rangedCopy === false
      ? {}
      : {
          appendRange: (range, options) => watched(`append ${pending.key}`, async () => (await pending.appendRange?.(range, options)) ?? 0),
        }),
    commit: (digest, options) => watched(`commit ${pending.key}`, () => pending.commit(digest, options)),
    discard: () => pending.discard(),
    suspend: () => pending.suspend(),
    ...(pending.leave === undefined ? {} : { leave: pending.leave.bind(pending) }),
    [Symbol.asyncDispose]: () => pending[Symbol.asyncDispose](),
  });
  return {
    address: store.address,
    capabilities: { ...store.capabilities, ...capabilities },
    stat: (key, options) => watched(`stat ${key}`, () => store.stat(key, options)),
    read: (key, options) => watched(`read ${key}`, () => store.read(key, options)),
    list: (prefix, options?: CallOptions) => watchedList(`list ${prefix}`, store.list(prefix, options)),
    begin: async (key, options) => {
      await before(`begin ${key}`);
      const pending = await store.begin(key, options);
      try {
        await after(`begin ${key}`);
        return wrap(pending);
      } catch (error) {
        await pending.discard();
        throw error;
      }
    },
    resume: async (token, options) => wrap(await store.resume(token, options)),
    ...(salvage === undefined ? {} : { salvage: (token, options) => watched(`salvage ${token}`, () => salvage(token, options)) }),
    pending: (prefix, options?: CallOptions) => watchedList(`pending ${prefix}`, store.pending(prefix, options)),
    clear: (tokens, options) => watched(`clear ${tokens.join(' ')}`, () => store.clear(tokens, options)),
    remove: (keys, options) => watched(`remove ${keys.join(' ')}`, () => store.remove(keys, options)),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
