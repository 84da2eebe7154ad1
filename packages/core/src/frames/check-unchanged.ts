import { sha256OnThread } from '../system/sha256.ts';
import type { ChangedFrames } from './changed-frames.ts';
import type { FrameMap, MapEntry } from './frame-map.ts';
import type { PartsReader } from './plain-reader.ts';
import { isZero } from './zeros.ts';

/**
 * Whether a disk is cut into frames of `frameSize` by its map, so that its frames can be found by their place alone: then what is said to
 * have changed can be compared with it.
 */
export function isCutByPlace(map: FrameMap, frameSize: number): boolean {
  for (const { kind, start, plainBytes } of map) {
    if (kind === 'zeros') continue;
    if (start % frameSize !== 0 || plainBytes !== Math.min(frameSize, map.plainBytes - start)) return false;
  }
  return true;
}

/**
 * Reads frames and compares them with what the map says.
 *
 * @param frames where they begin, in order
 * @returns where the first begins that differs
 * @throws the errors of the reader; the signal's reason
 */
export async function findDifferent(
  reader: PartsReader,
  { map, frameSize }: { readonly map: FrameMap; readonly frameSize: number },
  frames: readonly number[],
  signal: AbortSignal,
): Promise<number | undefined> {
  const buffer = Buffer.alloc(frames.length === 0 ? 0 : frameSize);
  for (const offset of frames) {
    signal.throwIfAborted();
    const bytes = buffer.subarray(0, Math.min(frameSize, map.plainBytes - offset));
    await readPart(reader, offset, bytes);
    if (!(await isAsInMap(bytes, map, offset))) return offset;
  }
  return undefined;
}

async function readPart(reader: PartsReader, offset: number, output: Buffer): Promise<void> {
  reader.select(offset, output.length);
  for (let at = 0; at < output.length;) {
    const piece = await reader.read(output.subarray(at));
    if (piece === undefined) throw new RangeError(`a disk ends at byte ${offset + at}`);
    if (typeof piece !== 'number') output.fill(0, at, at + piece.zeros);
    at += typeof piece === 'number' ? piece : piece.zeros;
  }
}

async function isAsInMap(bytes: Uint8Array, map: FrameMap, offset: number): Promise<boolean> {
  const entry = entryAt(map, offset);
  if (entry === undefined || entry.kind === 'zeros') return isZero(bytes);
  return Buffer.compare(await sha256OnThread(bytes), entry.sha256) === 0;
}

function entryAt(map: FrameMap, offset: number): MapEntry | undefined {
  const index = map.indexAt(offset);
  return index === undefined ? undefined : map.at(index);
}

/** Where the first of the frames that are said to be unchanged begins of which two maps say different things. */
export function findUnequal(before: FrameMap, after: FrameMap, changed: ChangedFrames): number | undefined {
  const { frameSize } = changed;
  for (const { offset, length } of changed.unchanged()) {
    for (let at = offset; at < offset + length; at += frameSize) {
      const [was, is] = [entryAt(before, at), entryAt(after, at)];
      if (was === undefined || is === undefined || !isEqual(was, is)) return at;
    }
  }
  return undefined;
}

function isEqual(was: MapEntry, is: MapEntry): boolean {
  if (was.kind === 'zeros' || is.kind === 'zeros') return was.kind === is.kind;
  return Buffer.compare(was.sha256, is.sha256) === 0;
}
