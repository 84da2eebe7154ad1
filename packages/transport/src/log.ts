import { abortable } from './abortable.ts';
import { alterBody, alterPending, alterRangeCopy, alterStore } from './alter.ts';
import type { StoreErrorCode } from './errors.ts';
import { isStoreError } from './errors.ts';
import type { PendingObject, Store } from './store.ts';

/** A call of a store that has ended. */
export interface LogEntry {
  readonly call:
    | 'stat'
    | 'read'
    | 'body'
    | 'list'
    | 'begin'
    | 'resume'
    | 'salvage'
    | 'append'
    | 'append range'
    | 'commit'
    | 'discard'
    | 'suspend'
    | 'pending'
    | 'clear'
    | 'remove';
  /** The key, prefix or token; the first of several. */
  readonly of: string;
  /** Its duration in ms; for a body or a listing it includes the time of the consumer. */
  readonly ms: number;
  /** `failed` means an error that is not the store's: the caller's source threw it. */
  readonly outcome: 'ok' | 'aborted' | 'failed' | StoreErrorCode;
  /** Number of bytes, for `body`, `append` and `append range`. */
  readonly bytes?: number | undefined;
  /** Number of keys, tokens or items, for `list`, `pending`, `clear` and `remove`. */
  readonly count?: number | undefined;
}

/** Calls `log` after each call. Entries contain keys and numbers, but no stored data. */
export function withLog(store: Store, log: (entry: LogEntry) => void): Store {
  const calls = new CallLog(log);
  const salvage = store.salvage?.bind(store);
  const logged = (pending: PendingObject): PendingObject =>
    alterPending(pending, {
      append: async (source, o) => {
        const tally = { bytes: 0 };
        await calls.call('append', pending.key, o?.signal, () => pending.append(counted(source, o?.signal, tally), o), tally);
      },
      ...alterRangeCopy(pending, (copy, { length }, o) => calls.call('append range', pending.key, o?.signal, copy, { bytes: length })),
      commit: (digest, o) => calls.call('commit', pending.key, o?.signal, () => pending.commit(digest, o)),
      discard: () => calls.call('discard', pending.key, undefined, () => pending.discard()),
      suspend: () => calls.call('suspend', pending.key, undefined, () => pending.suspend()),
    });
  return alterStore(store, {
    stat: (key, o) => calls.call('stat', key, o?.signal, () => store.stat(key, o)),
    read: async (key, o) => {
      const source = await calls.call('read', key, o?.signal, () => store.read(key, o));
      return alterBody(source, (chunks) =>
        calls.items('body', key, o?.signal, chunks, (chunk, tally) => (tally.bytes += chunk.length), { bytes: 0 }),
      );
    },
    list: (prefix, o) => calls.items('list', prefix, o?.signal, store.list(prefix, o), (_item, tally) => (tally.count += 1), { count: 0 }),
    pending: (prefix, o) =>
      calls.items('pending', prefix, o?.signal, store.pending(prefix, o), (_item, tally) => (tally.count += 1), { count: 0 }),
    begin: async (key, o) => logged(await calls.call('begin', key, o?.signal, () => store.begin(key, o))),
    resume: async (token, o) => logged(await calls.call('resume', token, o?.signal, () => store.resume(token, o))),
    ...(salvage === undefined ? {} : { salvage: (token, o) => calls.call('salvage', token, o?.signal, () => salvage(token, o)) }),
    clear: (tokens, o) => calls.call('clear', tokens[0] ?? '', o?.signal, () => store.clear(tokens, o), { count: tokens.length }),
    remove: (keys, o) => calls.call('remove', keys[0] ?? '', o?.signal, () => store.remove(keys, o), { count: keys.length }),
  });
}

type Tally = Pick<LogEntry, 'bytes' | 'count'>;

class CallLog {
  readonly #log: (entry: LogEntry) => void;

  constructor(log: (entry: LogEntry) => void) {
    this.#log = log;
  }

  async call<T>(
    call: LogEntry['call'],
    of: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
    tally: Tally = {},
  ): Promise<T> {
    const start = performance.now();
    let outcome: LogEntry['outcome'] = 'ok';
    try {
      return await work();
    } catch (error) {
      outcome = outcomeOf(error, signal);
      throw error;
    } finally {
      this.#log({ call, of, ms: performance.now() - start, outcome, ...tally });
    }
  }

  async *items<T, Counted extends Tally>(
    call: LogEntry['call'],
    of: string,
    signal: AbortSignal | undefined,
    items: AsyncIterable<T>,
    count: (item: T, tally: Counted) => void,
    tally: Counted,
  ): AsyncGenerator<T> {
    const start = performance.now();
    let outcome: LogEntry['outcome'] = 'ok';
    try {
      for await (const item of items) {
        count(item, tally);
        yield item;
      }
    } catch (error) {
      outcome = outcomeOf(error, signal);
      throw error;
    } finally {
      this.#log({ call, of, ms: performance.now() - start, outcome, ...tally });
    }
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  tally: { bytes: number },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of abortable(chunks, signal)) {
    tally.bytes += chunk.length;
    yield chunk;
  }
}

function outcomeOf(error: unknown, signal: AbortSignal | undefined): LogEntry['outcome'] {
  if (signal?.aborted === true && error === signal.reason) return 'aborted';
  return isStoreError(error) ? error.code : 'failed';
}
