import type { FrameMap } from './frame-map.ts';

/** Frames of a disk or of several, and their plain bytes. */
export interface FrameCount {
  readonly frames: number;
  readonly bytes: number;
}

/** What the frames of a frame map cost. Zeros count nowhere. */
export interface FrameCounts {
  /** Stored before: in another export, or in this one for an equal frame. */
  readonly known: FrameCount;
  /** Stored whole. */
  readonly new: FrameCount;
  /** Stored as the difference from another frame. */
  readonly patched: FrameCount;
}

/**
 * @param ownPack the number of the pack that belongs to the map's own export; undefined if it has none
 */
export function countFrames(map: FrameMap, ownPack: number | undefined): FrameCounts {
  const counts = { known: { frames: 0, bytes: 0 }, new: { frames: 0, bytes: 0 }, patched: { frames: 0, bytes: 0 } };
  let ownEnd = 0;
  for (const entry of map) {
    if (entry.kind === 'zeros') continue;
    const { pack, offset, storedBytes } = entry.place;
    // Frames come into the own pack in the order of the map: what is further back was there before.
    const isNew = pack === ownPack && offset >= ownEnd;
    const count = counts[!isNew ? 'known' : entry.kind === 'patch' ? 'patched' : 'new'];
    count.frames += 1;
    count.bytes += entry.plainBytes;
    if (isNew) ownEnd = offset + storedBytes;
  }
  return counts;
}

export function addCounts(all: readonly FrameCounts[]): FrameCounts {
  const sum = (kind: keyof FrameCounts): FrameCount => ({
    frames: all.reduce((total, counts) => total + counts[kind].frames, 0),
    bytes: all.reduce((total, counts) => total + counts[kind].bytes, 0),
  });
  return { known: sum('known'), new: sum('new'), patched: sum('patched') };
}
