import type { FileHandle } from 'node:fs/promises';

import type { DiskRange } from '../frames/changed-frames.ts';
import { GantryError } from '../report/errors.ts';
import { errorText } from '../report/error-text.ts';
import type { FileExtent } from '../system/fiemap.ts';
import { fileExtents } from '../system/fiemap.ts';

/*
 * What differs between two clones of a disk, by where their data is: what both have in the same place of the file system is the same data,
 * for neither was written to since, and a place that two files share is never written over. Nothing is read.
 */

/** How much of the files is compared at once, bytes. */
const WINDOW_BYTES = 1024 ** 3;

/**
 * The ranges of two files of the same size in which their data may differ, in order.
 *
 * @throws GantryError `DISK_IO`; the signal's reason
 */
export async function* differentRanges(
  earlier: FileHandle,
  later: FileHandle,
  { bytes, disk, signal }: { readonly bytes: number; readonly disk: number; readonly signal: AbortSignal },
): AsyncGenerator<DiskRange, void, undefined> {
  for (let at = 0; at < bytes; at += WINDOW_BYTES) {
    signal.throwIfAborted();
    const window = { offset: at, length: Math.min(WINDOW_BYTES, bytes - at) };
    yield* inWindow(window, extentsOf(earlier, window, disk), extentsOf(later, window, disk), extentsOf(earlier, window, disk));
  }
}

/**
 * @param again of the earlier file, found after those of the later one: where the file system moved data meanwhile, its place says
 *   nothing
 */
function* inWindow(
  window: DiskRange,
  earlier: readonly FileExtent[],
  later: readonly FileExtent[],
  again: readonly FileExtent[],
): Generator<DiskRange, void, undefined> {
  const isMoved = earlier.length !== again.length || earlier.some((extent, index) => !isSame(extent, again[index]));
  if (isMoved) yield window;
  else yield* compareExtents(window, earlier, later);
}

function isSame(a: FileExtent, b: FileExtent | undefined): boolean {
  return a.offset === b?.offset && a.length === b.length && a.physical === b.physical && a.flags === b.flags;
}

/** The parts of a window that two files do not have in the same place. Exported for its test. */
export function* compareExtents(
  { offset, length }: DiskRange,
  earlier: readonly FileExtent[],
  later: readonly FileExtent[],
): Generator<DiskRange, void, undefined> {
  const end = offset + length;
  let changed: DiskRange | undefined;
  for (let at = offset, [a, b] = [0, 0]; at < end;) {
    while (endOf(earlier[a]) <= at) a += 1;
    while (endOf(later[b]) <= at) b += 1;
    const next = Math.min(end, nextEdge(earlier[a], at), nextEdge(later[b], at));
    if (isInSamePlace(earlier[a], later[b], at)) {
      if (changed !== undefined) yield changed;
      changed = undefined;
    } else changed = { offset: changed?.offset ?? at, length: next - (changed?.offset ?? at) };
    at = next;
  }
  if (changed !== undefined) yield changed;
}

function endOf(extent: FileExtent | undefined): number {
  return extent === undefined ? Infinity : extent.offset + extent.length;
}

function nextEdge(extent: FileExtent | undefined, at: number): number {
  if (extent === undefined) return Infinity;
  return extent.offset > at ? extent.offset : endOf(extent);
}

/** Flags mean that data is compressed, inline, not written yet, or not where it is said to be: then its place alone says too little. */
function isInSamePlace(a: FileExtent | undefined, b: FileExtent | undefined, at: number): boolean {
  const isHole = (extent: FileExtent | undefined): extent is undefined => extent === undefined || extent.offset > at;
  if (isHole(a) || isHole(b)) return isHole(a) && isHole(b);
  return a.flags === 0 && b.flags === 0 && a.physical - BigInt(a.offset) === b.physical - BigInt(b.offset);
}

function extentsOf(file: FileHandle, { offset, length }: DiskRange, disk: number): readonly FileExtent[] {
  try {
    return [...fileExtents(file.fd, offset, length)];
  } catch (error) {
    throw new GantryError('DISK_IO', {
      message: `cannot find out what changed on disk ${disk}: ${errorText(error)}`,
      hint: 'Export without --track-changes.',
      disk,
      cause: error,
    });
  }
}
