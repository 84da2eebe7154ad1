import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { isStoreError } from '../errors.ts';
import type { BeginOptions, ObjectInfo, PendingInfo, PendingObject, ReadOptions, Store } from '../store.ts';
import { collect, digestOf, inPieces } from './data.ts';
import { expect, expectCode, expectEqual } from './expect.ts';
import { ConformanceFailure } from './failure.ts';

/** Opens the store under test; two of them act like two processes. */
export type OpenStore = () => Promise<Store>;

/** A part of the store for a single case: a unique prefix, emptied at the end. */
export class Fixture implements AsyncDisposable {
  readonly store: Store;
  /** Ends in `/`. */
  readonly prefix: string = `gantry-check-${randomBytes(8).toString('hex')}/`;
  readonly #open: OpenStore;
  readonly #patienceMs: number;
  readonly #others: Store[] = [];

  private constructor(store: Store, open: OpenStore, patienceMs: number) {
    this.store = store;
    this.#open = open;
    this.#patienceMs = patienceMs;
  }

  static async create(open: OpenStore, patienceMs: number): Promise<Fixture> {
    return new Fixture(await open(), open, patienceMs);
  }

  /** Another connection to the same store; the fixture closes it. */
  async another(): Promise<Store> {
    const store = await this.#open();
    this.#others.push(store);
    return store;
  }

  key(name: string): string {
    return this.prefix + name;
  }

  /** Begins a write, create-only if the store offers that. */
  async begin(name: string, options: BeginOptions = {}, store: Store = this.store): Promise<PendingObject> {
    const ifExists = store.capabilities.createOnly ? 'fail' : 'replace';
    return store.begin(this.key(name), { ifExists, ...options });
  }

  /** Writes a complete object. */
  async write(name: string, bytes: Buffer, options: BeginOptions = {}, store: Store = this.store): Promise<ObjectInfo> {
    await using pending = await this.begin(name, options, store);
    await pending.append(inPieces(bytes, 256 * 1024));
    return await pending.commit(digestOf(bytes));
  }

  async read(name: string, options: ReadOptions = {}, store: Store = this.store): Promise<Buffer> {
    await using source = await store.read(this.key(name), options);
    return await collect(source, `reading ${name}`);
  }

  /** The names of all objects of the fixture, in the store's order. */
  async names(store: Store = this.store): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const { key } of store.list(this.prefix)) names.push(key.slice(this.prefix.length));
    return names;
  }

  async unfinished(store: Store = this.store): Promise<readonly PendingInfo[]> {
    return Array.fromAsync(store.pending(this.prefix));
  }

  /** Expects that neither this connection nor another sees an object of this name. */
  async expectAbsent(name: string, when: string): Promise<void> {
    for (const [store, who] of [[this.store, 'the writer itself'] as const, [await this.another(), 'another connection'] as const]) {
      await expectCode(() => store.stat(this.key(name)), 'not-found', `stat of ${name} ${when}, by ${who}`);
      await expectCode(() => openAndClose(store, this.key(name)), 'not-found', `read of ${name} ${when}, by ${who}`);
      expect(!(await this.names(store)).includes(name), `list shows ${name} ${when}, to ${who}`);
    }
  }

  /** Expects neither an object nor an unfinished write. */
  async expectNothingLeft(name: string, when: string): Promise<void> {
    await this.expectAbsent(name, when);
    expectEqual(await this.unfinished(), [], `unfinished writes ${when}`);
  }

  /** Waits for a promise, which fails the case if it hangs. */
  async soon<T>(promise: PromiseLike<T>, what: string): Promise<T> {
    const timer = new AbortController();
    const late = wait(this.#patienceMs, undefined, { signal: timer.signal }).then(() => {
      throw new ConformanceFailure(`${what} hangs: no result within ${this.#patienceMs} ms`);
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([promise, late]);
    } finally {
      timer.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.soon(this.#removeAll(), 'clearing up after the case');
  }

  async #removeAll(): Promise<void> {
    try {
      await this.store.clear((await this.unfinished()).map(({ token }) => token));
      await this.store.remove((await this.names()).map((name) => this.key(name)));
    } catch (error) {
      // If nothing was ever written, a store may report that it does not exist.
      if (!isStoreError(error, 'not-found')) throw error;
    } finally {
      for (const store of [...this.#others, this.store]) await store[Symbol.asyncDispose]();
    }
  }
}

async function openAndClose(store: Store, key: string): Promise<void> {
  await using _source = await store.read(key);
}
