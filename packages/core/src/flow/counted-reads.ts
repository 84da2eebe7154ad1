import type { Store } from '@gantry/transport';
import { alterBody, alterStore } from '@gantry/transport';
import { unsealerOf, withUnsealer } from '../exports/unsealing.ts';

/** A store that counts what is read from it. */
export interface CountedReads {
  readonly store: Store;
  /** Bytes so far. */
  readonly bytes: () => number;
}

export function countReads(store: Store): CountedReads {
  let bytes = 0;
  async function* counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      yield chunk;
    }
  }
  const counting = alterStore(store, { read: async (key, options) => alterBody(await store.read(key, options), counted) });
  const unsealer = unsealerOf(store);
  return { store: unsealer === undefined ? counting : withUnsealer(counting, unsealer), bytes: () => bytes };
}
