import { ALLOCATION } from './wire/protocol.ts';

/** A part of an export, in bytes. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** A part of an export, and what a metadata context says of it. */
export interface Extent extends Range {
  /** What each bit means depends on the context. */
  readonly flags: number;
}

/** A gap that is smaller costs less to read than the request that it saves; measured with QEMU over a unix socket, bytes. */
export const JOINED_GAP_BYTES = 65_536;

/** Of `base:allocation`: whether the extent must be read. A hole that is not said to be zero has any content. */
export function isData({ flags }: Extent): boolean {
  return (flags & ALLOCATION.ZERO) === 0;
}

/** Of `qemu:dirty-bitmap:NAME`: whether it was written to (QEMU's docs/interop/nbd.txt). */
export function isDirty({ flags }: Extent): boolean {
  return (flags & 1) !== 0;
}

/**
 * What is to be read, in order: the wanted extents, those with a gap of less than `gapBytes` between them as one.
 * Memory is that of one range, however many extents come.
 *
 * @param extents in order, without overlap
 */
export async function* joinRanges(
  extents: AsyncIterable<Extent> | Iterable<Extent>,
  isWanted: (extent: Extent) => boolean,
  gapBytes: number = JOINED_GAP_BYTES,
): AsyncGenerator<Range, void, undefined> {
  let joined: Range | undefined;
  for await (const extent of extents) {
    if (!isWanted(extent)) continue;
    const gap = joined === undefined ? Infinity : extent.offset - (joined.offset + joined.length);
    if (joined !== undefined && (gap === 0 || gap < gapBytes)) {
      joined = { offset: joined.offset, length: extent.offset + extent.length - joined.offset };
      continue;
    }
    if (joined !== undefined) yield joined;
    joined = { offset: extent.offset, length: extent.length };
  }
  if (joined !== undefined) yield joined;
}
