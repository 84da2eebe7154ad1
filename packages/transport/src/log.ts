import { abortable } from './abortable.ts';
import { alterBody, alterPending, alterStore } from './alter.ts';
import type { StoreErrorCode } from './errors.ts';
import { isStoreError } from './errors.ts';
import type { PendingObject, Store } from './store.ts';

/** One call of a store, when it has ended. */
export interface LogEntry {
  readonly call:
    | 'stat'
    | 'read'
    | 'body'
    | 'list'
    | 'begin'
    | 'resume'
    | 'append'
    | 'commit'
    | 'discard'
    | 'suspend'
    | 'pending'
    | 'clear'
    | 'remove';
  /** The key, prefix or token; of several, the first. */
  readonly of: string;
  /** How long it took, in ms; of a body or a listing, with the time that its taker took. */
  readonly ms: number;
  /** `failed` is an error that is not the store's: the caller's source threw it. */
  readonly outcome: 'ok' | 'aborted' | 'failed' | StoreErrorCode;
  /** Bytes that went through, of `body` and `append`. */
  readonly bytes?: number | undefined;
  /** How many keys, tokens or items, of `list`, `pending`, `clear` and `remove`. */
  readonly count?: number | undefined;
}

/** Tells `log` of each call when it has ended. Entries hold keys and numbers, and nothing of what is stored. */
export function withLog(store: Store, log: (entry: LogEntry) => void): Store {
  const keep = new Keeper(log);
  const told = (pending: PendingObject): PendingObject =>
    alterPending(pending, {
      append: async (source, o) => {
        const tally = { bytes: 0 };
        await keep.call('append', pending.key, o?.signal, () => pending.append(counted(source, o?.signal, tally), o), tally);
      },
      commit: (digest, o) => keep.call('commit', pending.key, o?.signal, () => pending.commit(digest, o)),
      discard: () => keep.call('discard', pending.key, undefined, () => pending.discard()),
      suspend: () => keep.call('suspend', pending.key, undefined, () => pending.suspend()),
    });
  return alterStore(store, {
    stat: (key, o) => keep.call('stat', key, o?.signal, () => store.stat(key, o)),
    read: async (key, o) => {
      const source = await keep.call('read', key, o?.signal, () => store.read(key, o));
      return alterBody(source, (chunks) =>
        keep.items('body', key, o?.signal, chunks, (chunk, tally) => (tally.bytes += chunk.length), { bytes: 0 }),
      );
    },
    list: (prefix, o) => keep.items('list', prefix, o?.signal, store.list(prefix, o), (_item, tally) => (tally.count += 1), { count: 0 }),
    pending: (prefix, o) =>
      keep.items('pending', prefix, o?.signal, store.pending(prefix, o), (_item, tally) => (tally.count += 1), { count: 0 }),
    begin: async (key, o) => told(await keep.call('begin', key, o?.signal, () => store.begin(key, o))),
    resume: async (token, o) => told(await keep.call('resume', token, o?.signal, () => store.resume(token, o))),
    clear: (tokens, o) => keep.call('clear', tokens[0] ?? '', o?.signal, () => store.clear(tokens, o), { count: tokens.length }),
    remove: (keys, o) => keep.call('remove', keys[0] ?? '', o?.signal, () => store.remove(keys, o), { count: keys.length }),
  });
}

type Tally = Pick<LogEntry, 'bytes' | 'count'>;

class Keeper {
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
