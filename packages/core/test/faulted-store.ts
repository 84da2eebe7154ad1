import { StoreError } from '@gantry/transport';
import type { ByteSource, PendingObject, Store } from '@gantry/transport';
import { alterBody, alterStore } from '@gantry/transport';
import { Killed } from './histories.ts';

/** What happens at one call of a store. */
export type FaultKind =
  /** It fails, and has done nothing. */
  | 'fails'
  /** It has done its work, and its answer is lost. */
  | 'answer is lost'
  /** From then on, nothing may be written or removed. */
  | 'denied from then on'
  /** From then on, there is no space. */
  | 'full from then on'
  /** What is read has a bit that is another. */
  | 'a bit is flipped'
  /** What is read, or written, ends early: reading without an error. */
  | 'is cut'
  /** The process is killed: nothing that it does from then on reaches the store. */
  | 'killed';

export const FAULT_KINDS: readonly FaultKind[] = [
  'fails',
  'answer is lost',
  'denied from then on',
  'full from then on',
  'a bit is flipped',
  'is cut',
  'killed',
];

/** What a call does to the store. */
type Effect = 'reads' | 'adds' | 'removes';

/** Whether a call fails in which, or before which, the kind began. */
function isSince(kind: FaultKind | undefined, effect: Effect): boolean {
  return (kind === 'denied from then on' && effect !== 'reads') || (kind === 'full from then on' && effect === 'adds');
}

export interface FaultPoint {
  /** The number of the call, from 1. */
  readonly call: number;
  readonly kind: FaultKind;
}

/** Counts the calls of all stores of one process, and says which has the fault. */
export class Faults {
  readonly #point: FaultPoint | undefined;
  calls = 0;
  /** What the call was that had the fault, such as `commit web1/20261123T081500Z/manifest.json`. */
  hit: string | undefined;

  constructor(point?: FaultPoint) {
    this.#point = point;
  }

  get wasKilled(): boolean {
    return this.hit !== undefined && this.#point?.kind === 'killed';
  }

  /** The fault of the next call. */
  next(call: string, effect: Effect): FaultKind | undefined {
    this.calls += 1;
    const point = this.#point;
    if (point === undefined || this.calls < point.call) return undefined;
    if (this.calls === point.call) {
      this.hit = call;
      return point.kind;
    }
    if (point.kind === 'killed') return 'killed';
    return isSince(point.kind, effect) ? point.kind : undefined;
  }
}

/** A store with a fault at one of its calls, and the same as the given one otherwise. */
export function faultedStore(store: Store, faults: Faults): Store {
  const call = async <T>(name: string, effect: Effect, work: () => Promise<T>): Promise<T> => {
    const fault = faults.next(name, effect);
    assertHappens(fault, effect, name);
    const result = await work();
    if (fault === 'answer is lost') throw new StoreError('unavailable', { message: `${name}: the answer is lost` });
    return result;
  };
  const wrap = (pending: PendingObject): PendingObject => {
    const appendRange = pending.appendRange?.bind(pending);
    return {
      key: pending.key,
      token: pending.token,
      get durableBytes() {
        return pending.durableBytes;
      },
      append: async (source, options) => {
        const name = `append ${pending.key}`;
        const fault = faults.next(name, 'adds');
        assertHappens(fault, 'adds', name);
        await pending.append(fault === 'is cut' ? torn(source, name) : source, options);
        if (fault === 'answer is lost') throw new StoreError('unavailable', { message: `${name}: the answer is lost` });
      },
      ...(appendRange === undefined
        ? {}
        : { appendRange: (range, options) => call(`append ${pending.key}`, 'adds', () => appendRange(range, options)) }),
      commit: (digest, options) => call(`commit ${pending.key}`, 'adds', () => pending.commit(digest, options)),
      discard: () => (faults.wasKilled ? Promise.reject(new Killed()) : pending.discard()),
      suspend: () => (faults.wasKilled ? Promise.reject(new Killed()) : pending.suspend()),
      [Symbol.asyncDispose]: async () => {
        if (!faults.wasKilled) await pending[Symbol.asyncDispose]();
      },
    };
  };
  async function* listed<T>(name: string, items: () => AsyncIterable<T>): AsyncGenerator<T> {
    const fault = faults.next(name, 'reads');
    assertHappens(fault, 'reads', name);
    for await (const item of items()) {
      yield item;
      if (fault === 'is cut' || fault === 'answer is lost')
        throw new StoreError('unavailable', { message: `${name}: the connection was cut` });
    }
  }
  return alterStore(store, {
    stat: (key, options) => call(`stat ${key}`, 'reads', () => store.stat(key, options)),
    read: async (key, options) => {
      const name = `read ${key}`;
      const fault = faults.next(name, 'reads');
      assertHappens(fault, 'reads', name);
      const source = await store.read(key, options);
      if (fault === 'a bit is flipped') return alterBody(source, flipped);
      if (fault === 'is cut') return alterBody(source, half(source));
      if (fault === 'answer is lost') await source[Symbol.asyncDispose]();
      if (fault === 'answer is lost') throw new StoreError('unavailable', { message: `${name}: the answer is lost` });
      return source;
    },
    list: (prefix, options) => listed(`list ${prefix}`, () => store.list(prefix, options)),
    pending: (prefix, options) => listed(`pending ${prefix}`, () => store.pending(prefix, options)),
    begin: async (key, options) => wrap(await call(`begin ${key}`, 'adds', () => store.begin(key, options))),
    resume: async (token, options) => wrap(await call(`resume ${token}`, 'adds', () => store.resume(token, options))),
    clear: (tokens, options) => call('clear', 'removes', () => store.clear(tokens, options)),
    remove: (keys, options) => call(`remove ${keys.join(' ')}`, 'removes', () => store.remove(keys, options)),
  });
}

/** @throws what a call rejects with that does nothing */
function assertHappens(fault: FaultKind | undefined, effect: Effect, name: string): void {
  if (fault === 'killed') throw new Killed();
  if (fault === 'fails') throw new StoreError('unavailable', { message: `${name}: the connection was cut` });
  if (!isSince(fault, effect)) return;
  if (fault === 'full from then on') throw new StoreError('full', { message: `${name}: there is no space` });
  throw new StoreError('denied', { message: `${name}: not allowed` });
}

async function* flipped(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  for await (const chunk of chunks) {
    const copy = Buffer.from(chunk);
    const at = Math.floor(copy.length / 2);
    if (isFirst && copy.length > 0) copy[at] = (copy[at] ?? 0) ^ 1;
    isFirst = false;
    yield copy;
  }
}

function half({ length }: ByteSource) {
  return async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let left = Math.floor(length / 2);
    for await (const chunk of chunks) {
      if (left <= 0) return;
      yield chunk.subarray(0, left);
      left -= chunk.length;
    }
  };
}

async function* torn(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk.subarray(0, Math.ceil(chunk.length / 2));
    throw new StoreError('unavailable', { message: `${name}: the connection was cut` });
  }
}
