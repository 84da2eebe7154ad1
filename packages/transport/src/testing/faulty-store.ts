import { once } from 'node:events';
import { abortable } from '../abortable.ts';
import { alterBody, alterPending, alterRangeCopy, alterStore } from '../alter.ts';
import { StoreError } from '../errors.ts';
import type { LogEntry } from '../log.ts';
import type { PendingObject, Store } from '../store.ts';

/** The calls that can fail: those of a store and of the objects it returns; `body` is the iteration of the result of `read`. */
export type FaultyCall = Exclude<LogEntry['call'], 'discard' | 'suspend'>;

export interface Fault {
  readonly on: FaultyCall;
  /** Which call of its kind, from 1; all by default. */
  readonly nth?: number | undefined;
  /** The error; without one, the call hangs until its signal is aborted. */
  readonly error?: StoreError | undefined;
  /** After how many bytes (`body`, `append`) or items (`list`, `pending`); 0 by default. */
  readonly after?: number | undefined;
}

export interface FaultyStoreOptions {
  readonly faults?: readonly Fault[] | undefined;
  /** How many bytes all appends together can write before they fail with `full`. */
  readonly freeBytes?: number | undefined;
}

/** A store with injected faults, for tests of code that uses a store. */
export function faultyStore(store: Store, { faults = [], freeBytes = Infinity }: FaultyStoreOptions): Store {
  const calls = new Map<FaultyCall, number>();
  let left = freeBytes;
  const next = (on: FaultyCall): Fault | undefined => {
    const nth = (calls.get(on) ?? 0) + 1;
    calls.set(on, nth);
    return faults.find((fault) => fault.on === on && (fault.nth ?? nth) === nth);
  };
  const call = async <T>(on: FaultyCall, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> => {
    const fault = next(on);
    if (fault !== undefined) await applyFault(fault, signal);
    return work();
  };
  const salvage = store.salvage?.bind(store);
  const faulty = (pending: PendingObject): PendingObject =>
    alterPending(pending, {
      append: (source, o) => {
        const cut = cutChunks(abortable(source, o?.signal), next('append'), o?.signal);
        return pending.append(
          fill(cut, (bytes) => (left -= bytes)),
          o,
        );
      },
      ...alterRangeCopy(pending, (copy, _range, o) => call('append range', o?.signal, copy)),
      commit: (digest, o) => call('commit', o?.signal, () => pending.commit(digest, o)),
    });
  return alterStore(store, {
    stat: (key, o) => call('stat', o?.signal, () => store.stat(key, o)),
    read: async (key, o) => {
      const source = await call('read', o?.signal, () => store.read(key, o));
      return alterBody(source, (chunks) => cutChunks(chunks, next('body'), o?.signal));
    },
    list: (prefix, o) => cutItems(store.list(prefix, o), next('list'), o?.signal),
    pending: (prefix, o) => cutItems(store.pending(prefix, o), next('pending'), o?.signal),
    begin: async (key, o) => faulty(await call('begin', o?.signal, () => store.begin(key, o))),
    resume: async (token, o) => faulty(await call('resume', o?.signal, () => store.resume(token, o))),
    ...(salvage === undefined ? {} : { salvage: (token, o) => call('salvage', o?.signal, () => salvage(token, o)) }),
    clear: (tokens, o) => call('clear', o?.signal, () => store.clear(tokens, o)),
    remove: (keys, o) => call('remove', o?.signal, () => store.remove(keys, o)),
  });
}

async function applyFault({ error }: Fault, signal: AbortSignal | undefined): Promise<never> {
  if (error !== undefined) throw error;
  signal?.throwIfAborted();
  if (signal === undefined) return new Promise<never>(() => undefined);
  await once(signal, 'abort');
  throw signal.reason;
}

async function* cutItems<T>(items: AsyncIterable<T>, fault: Fault | undefined, signal: AbortSignal | undefined): AsyncGenerator<T> {
  let left = fault?.after ?? 0;
  for await (const item of items) {
    if (fault !== undefined && left === 0) await applyFault(fault, signal);
    left -= 1;
    yield item;
  }
  if (fault !== undefined && left >= 0) await applyFault(fault, signal);
}

async function* cutChunks(
  chunks: AsyncIterable<Uint8Array>,
  fault: Fault | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let left = fault?.after ?? 0;
  for await (const chunk of chunks) {
    if (fault === undefined || chunk.length < left) {
      left -= chunk.length;
      yield chunk;
      continue;
    }
    if (left > 0) yield chunk.subarray(0, left);
    await applyFault(fault, signal);
  }
  if (fault !== undefined) await applyFault(fault, signal);
}

async function* fill(chunks: AsyncIterable<Uint8Array>, take: (bytes: number) => number): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    if (take(chunk.length) < 0) throw new StoreError('full', { message: 'no space left', hint: 'Free some space.' });
    yield chunk;
  }
}
