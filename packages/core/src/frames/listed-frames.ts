import type { FrameTable } from './frame-table.ts';

/** The sizes of frames that follow each other in a dump, bytes. */
export interface ListedFrames {
  readonly length: number;
  /** Of the frame with this index, from 0. */
  at(index: number): { readonly storedBytes: number; readonly plainBytes: number };
}

/** The frames of a dump that is cut at multiples of `frameSize`. */
export function framesOfTable(frameSize: number, plainBytes: number, table: FrameTable): ListedFrames {
  return {
    length: table.length,
    at: (index) => ({
      storedBytes: table.at(index)?.storedBytes ?? 0,
      plainBytes: Math.min(frameSize, plainBytes - index * frameSize),
    }),
  };
}
