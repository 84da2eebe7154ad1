import { FormatProblem } from './damage.ts';
import type { DumpReader } from './dump-reader.ts';
import type { ListedFrames } from './listed-frames.ts';

/*
 * The seek table of zstd's seekable format (zstd, contrib/seekable_format/zstd_seekable_compression_format.md, version 0.1.0): a
 * skippable frame with stored and plain size of each frame. It has no checksums: every frame contains its own.
 */

const TABLE_MAGIC = 0x184d2a5e;
const FOOTER_MAGIC = 0x8f92eab1;
const HEADER_BYTES = 8;
const ENTRY_BYTES = 8;
const FOOTER_BYTES = 9;
const ENTRIES_PER_CHUNK = 4096;
/** The table's own size must fit in 32 bits: 2 PiB in frames of 4 MiB. */
export const MAX_FRAMES_IN_SEEK_TABLE: number = Math.floor((2 ** 32 - 1 - FOOTER_BYTES) / ENTRY_BYTES);

/** The table in chunks of some KiB. */
export function* seekTable(frames: ListedFrames): Generator<Uint8Array, void, undefined> {
  const count = frames.length;
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(TABLE_MAGIC, 0);
  header.writeUInt32LE(count * ENTRY_BYTES + FOOTER_BYTES, 4);
  yield header;
  for (let first = 0; first < count; first += ENTRIES_PER_CHUNK) yield entries(frames, first);
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.writeUInt32LE(count, 0);
  footer.writeUInt32LE(FOOTER_MAGIC, 5);
  yield footer;
}

/** Size of the table for this many frames. */
export function seekTableBytes(frames: number): number {
  return HEADER_BYTES + frames * ENTRY_BYTES + FOOTER_BYTES;
}

/** Reads the table and compares it. @throws FormatProblem if it differs */
export async function readSeekTable(reader: DumpReader, frames: ListedFrames): Promise<void> {
  for (const expected of seekTable(frames)) {
    const found = Buffer.allocUnsafe(expected.length);
    await reader.fill(found);
    if (!found.equals(expected)) throw new FormatProblem('the seek table does not match the frames');
  }
}

function entries(frames: ListedFrames, first: number): Buffer {
  const count = Math.min(ENTRIES_PER_CHUNK, frames.length - first);
  const bytes = Buffer.allocUnsafe(count * ENTRY_BYTES);
  for (let place = 0; place < count; place += 1) {
    const { storedBytes, plainBytes } = frames.at(first + place);
    bytes.writeUInt32LE(storedBytes, place * ENTRY_BYTES);
    bytes.writeUInt32LE(plainBytes, place * ENTRY_BYTES + 4);
  }
  return bytes;
}
