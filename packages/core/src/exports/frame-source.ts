import type { CallOptions } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { inDump } from '../frames/damage.ts';
import type { PlainFrame, ReadFrameOptions } from '../frames/random-access.ts';
import { FrameIndex } from '../frames/random-access.ts';
import type { MappedRead, StoredExport } from './open-export.ts';
import { PlainFrames } from './stored-frames.ts';

/** The frames of one disk of an export, any of which can be read alone. Holds nothing open. */
export interface FrameSource {
  /** The most plain bytes that a frame with data has; unless the disk is read by a frame map, those of every frame but the last. */
  readonly frameSize: number;
  /** A run of zeros in a frame map counts as one. */
  readonly frames: number;
  readonly plainBytes: number;
  /**
   * The frame in which a byte of the disk is, checked. Several may be read at once; each takes one request to the store (two for a patch,
   * none where it holds only zeros), and the memory of one frame. The zeros of a frame map may be a run of any length.
   *
   * @param offset plain bytes from the start of the disk, less than `plainBytes`
   * @throws GantryError `DUMP_DAMAGED`, `DUMP_MISSING`, `PACK_MISSING`, `STORE_*`; RangeError; the reason of the signal
   */
  at(offset: number, options?: ReadFrameOptions): Promise<PlainFrame>;
  /** Bytes of memory that {@link FrameSource.at} needs there; 0 for zeros. @throws RangeError */
  roomAt(offset: number): number;
}

/**
 * Opens a disk of an export for reading any part of it.
 *
 * @param index the disk's
 * @throws GantryError `DUMP_MISSING`; `FRAMES_UNKNOWN` for a dump that has no frame table or a store that cannot read ranges;
 *   `MAP_DAMAGED`, `MANIFEST_DAMAGED`, `STORE_*`
 */
export async function openFrameSource(found: StoredExport, index: number, options: CallOptions = {}): Promise<FrameSource> {
  const dump = found.dumps.find((candidate) => candidate.index === index);
  if (dump === undefined) {
    throw new GantryError('DUMP_MISSING', { message: `${found.reference} has no dump of disk ${index}`, disk: index });
  }
  const { name, codec, record } = dump;
  const mapped = await found.mapped(index, options);
  if (mapped !== undefined) return sourceByMap(mapped);
  const table = found.rangedRead ? await found.frameTable(index, options) : undefined;
  if (table === undefined || record === undefined) {
    throw new GantryError('FRAMES_UNKNOWN', {
      message: `cannot read parts of ${name} of ${found.reference}: ${found.rangedRead ? 'it has no frame table' : 'the store reads only complete objects'}`,
      hint: 'Import the disk, or export it again: exports of this version have frame tables.',
      disk: index,
    });
  }
  const frames = new FrameIndex({ codec, framed: record, table });
  return {
    frameSize: record.frameSize,
    frames: record.frames,
    plainBytes: record.plainBytes,
    roomAt: (offset) => frames.room(offset),
    at: (offset, options = {}) =>
      inDump(
        name,
        index,
        frames.read(offset, (start, length) => found.dump(name, { offset: start, length, signal: options.signal }), options),
      ),
  };
}

/** {@link openFrameSource} for a disk that is read by its frame map. */
export function sourceByMap({ map, packs }: MappedRead): FrameSource {
  const frames = new PlainFrames(map, packs);
  const { plainBytes } = map;
  let frameSize = 1;
  for (const entry of map) if (entry.kind !== 'zeros') frameSize = Math.max(frameSize, entry.plainBytes);
  const indexAt = (offset: number): number => {
    const index = Number.isSafeInteger(offset) ? map.indexAt(offset) : undefined;
    if (index === undefined) throw new RangeError(`byte ${offset} is outside the disk of ${plainBytes} bytes`);
    return index;
  };
  return {
    frameSize,
    frames: map.length,
    plainBytes,
    roomAt: (offset) => frames.room(indexAt(offset)),
    at: async (offset, options) => await frames.read(indexAt(offset), options),
  };
}
