import type { ByteSource, CallOptions, ObjectRange, PendingObject, Store } from './store.ts';

/** A store that does the same as `store` except for the given changes. Disposing it disposes `store`. */
export function alterStore(store: Store, changes: Partial<Store>): Store {
  return {
    address: store.address,
    capabilities: store.capabilities,
    stat: (key, options) => store.stat(key, options),
    read: (key, options) => store.read(key, options),
    list: (prefix, options) => store.list(prefix, options),
    ...(store.protectedUntil === undefined ? {} : { protectedUntil: store.protectedUntil.bind(store) }),
    ...(store.hidden === undefined ? {} : { hidden: store.hidden.bind(store) }),
    ...(store.protect === undefined ? {} : { protect: store.protect.bind(store) }),
    ...(store.unhide === undefined ? {} : { unhide: store.unhide.bind(store) }),
    begin: (key, options) => store.begin(key, options),
    resume: (token, options) => store.resume(token, options),
    ...(store.salvage === undefined ? {} : { salvage: store.salvage.bind(store) }),
    pending: (prefix, options) => store.pending(prefix, options),
    clear: (tokens, options) => store.clear(tokens, options),
    remove: (keys, options) => store.remove(keys, options),
    ...(store.space === undefined ? {} : { space: store.space.bind(store) }),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    ...changes,
  };
}

/** An unfinished write that does the same as `pending` except for the given changes. */
export function alterPending(pending: PendingObject, changes: Partial<Omit<PendingObject, 'durableBytes'>>): PendingObject {
  return {
    key: pending.key,
    token: pending.token,
    get durableBytes() {
      return pending.durableBytes;
    },
    append: (source, options) => pending.append(source, options),
    ...(pending.appendRange === undefined ? {} : { appendRange: pending.appendRange.bind(pending) }),
    commit: (digest, options) => pending.commit(digest, options),
    discard: () => pending.discard(),
    suspend: () => pending.suspend(),
    ...(pending.leave === undefined ? {} : { leave: pending.leave.bind(pending) }),
    [Symbol.asyncDispose]: () => pending[Symbol.asyncDispose](),
    ...changes,
  };
}

/** The `appendRange` of an unfinished write, if it has one, with something done around each call: a change for {@link alterPending}. */
export function alterRangeCopy(
  pending: PendingObject,
  around: (copy: () => Promise<number>, range: ObjectRange, options: CallOptions | undefined) => Promise<number>,
): Pick<PendingObject, 'appendRange'> {
  const copy = pending.appendRange?.bind(pending);
  return copy === undefined ? {} : { appendRange: (range, options) => around(() => copy(range, options), range, options) };
}

/** A body whose chunks pass through `through`. Disposing it disposes `source`. */
export function alterBody(source: ByteSource, through: (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>): ByteSource {
  return {
    length: source.length,
    objectSize: source.objectSize,
    [Symbol.asyncIterator]: () => through(source)[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
