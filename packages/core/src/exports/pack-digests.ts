import type { CallOptions, Digest, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { StreamDigest } from '../frames/stream-digest.ts';

/** Sizes and SHA-256 of objects in a store, each read once, no matter how many ask. */
export class PackDigests {
  readonly #store: Store;
  readonly #digests = new Map<string, Promise<Digest | undefined>>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Undefined if there is no such object. @throws StoreError; the reason of the signal */
  of(key: string, options: CallOptions): Promise<Digest | undefined> {
    const known = this.#digests.get(key) ?? this.#read(key, options);
    this.#digests.set(key, known);
    return known;
  }

  /** What {@link of} found, where it was asked. */
  async known(key: string): Promise<{ readonly digest: Digest | undefined } | undefined> {
    const known = this.#digests.get(key);
    return known === undefined ? undefined : { digest: await known };
  }

  async #read(key: string, options: CallOptions): Promise<Digest | undefined> {
    using digest = new StreamDigest();
    try {
      await using source = await this.#store.read(key, options);
      let size = 0;
      for await (const chunk of source) {
        await digest.update(chunk);
        size += chunk.length;
      }
      return { size, sha256: await digest.hex() };
    } catch (error) {
      if (isStoreError(error, 'not-found')) return undefined;
      this.#digests.delete(key);
      throw error;
    }
  }
}
