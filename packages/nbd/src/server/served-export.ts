import type { Extent } from '../extents.ts';

/** What a server offers: content that can be read at any offset, by several clients at once. */
export interface ServedExport {
  readonly name: string;
  /** For a human. */
  readonly description?: string;
  /** Bytes. */
  readonly size: number;
  /** Fills `into`, which lies within the size. The signal is aborted when the client is gone. */
  read(offset: number, into: Uint8Array, signal: AbortSignal): Promise<void>;
  /**
   * What `base:allocation` says of a range: in order, without gaps, from `offset` on; it may end early. Without this function
   * everything is data.
   */
  extents?(offset: number, length: number, signal: AbortSignal): AsyncIterable<Extent> | Iterable<Extent>;
}
