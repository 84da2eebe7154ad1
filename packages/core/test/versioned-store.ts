import type { CallOptions, HiddenObject, Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { getBytes, put } from './sample-export.ts';

/** What a service has of objects that were removed. */
export class Versions {
  readonly gone: Map<string, { readonly bytes: Buffer; readonly modified: Date }> = new Map();
  /** When the objects that came back were written. */
  readonly times: Map<string, Date> = new Map();

  copy(): Versions {
    const copy = new Versions();
    for (const [key, object] of this.gone) copy.gone.set(key, object);
    for (const [key, time] of this.times) copy.times.set(key, time);
    return copy;
  }
}

/** A store whose service keeps what is removed, as a bucket with versions does: it comes back with the time that it had. */
export class VersionedStore {
  readonly memory: MemoryStore;
  readonly store: Store;
  /** Called before the next removal, once. */
  beforeRemoval: (() => Promise<void>) | undefined;
  #beforeReturn: { readonly name: string; readonly work: () => Promise<void> } | undefined;
  readonly #versions: Versions;

  constructor(memory: MemoryStore = new MemoryStore(), versions: Versions = new Versions()) {
    this.memory = memory;
    this.#versions = versions;
    this.store = alterStore(this.memory, {
      list: (prefix, options) => this.#list(prefix, options),
      remove: (keys, options) => this.#remove(keys, options),
      hidden: (prefix) => this.#hidden(prefix),
      unhide: (objects) => this.#unhide(objects),
    });
  }

  /** Does something before an object with that name comes back, the first time. */
  onceBeforeReturn(name: string, work: () => Promise<void>): void {
    this.#beforeReturn = { name, work };
  }

  /** For good. */
  lose(key: string): void {
    this.#versions.gone.delete(key);
  }

  async #remove(keys: readonly string[], options?: CallOptions): Promise<void> {
    const before = this.beforeRemoval;
    this.beforeRemoval = undefined;
    await before?.();
    const there = await Array.fromAsync(this.#list('', options));
    for (const { key, modified } of there)
      if (keys.includes(key)) this.#versions.gone.set(key, { bytes: await getBytes(this.memory, key), modified });
    await this.memory.remove(keys, options);
  }

  async *#list(prefix: string, options?: CallOptions) {
    for await (const info of this.memory.list(prefix, options))
      yield { ...info, modified: this.#versions.times.get(info.key) ?? info.modified };
  }

  async *#hidden(prefix: string): AsyncGenerator<HiddenObject, void, undefined> {
    const there = new Set((await Array.fromAsync(this.memory.list(''))).map(({ key }) => key));
    for (const [key, { bytes, modified }] of [...this.#versions.gone].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      if (key.startsWith(prefix) && !there.has(key)) yield { key, size: bytes.length, modified, hidden: new Date(), token: 'marker' };
  }

  async #unhide(objects: readonly HiddenObject[]): Promise<void> {
    for (const { key } of objects) {
      const before = this.#beforeReturn;
      if (before !== undefined && key.endsWith(before.name)) {
        this.#beforeReturn = undefined;
        await before.work();
      }
      const gone = this.#versions.gone.get(key);
      if (gone === undefined) continue;
      await put(this.memory, key, gone.bytes);
      this.#versions.times.set(key, gone.modified);
    }
  }
}
