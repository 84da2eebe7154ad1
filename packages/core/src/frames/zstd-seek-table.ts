import { FormatProblem } from './damage.ts';
import type { DumpReader } from './dump-reader.ts';
import type { FrameTable } from './frame-table.ts';

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

/** The frames to list: all except the last have `frameSize` plain bytes. */
interface Frames {
  readonly frameSize: number;
  readonly plainBytes: number;
  readonly table: FrameTable;
}

/** The table in chunks of some KiB. */
export function* seekTable(frames: Frames): Generator<Uint8Array, void, undefined> {
  const count = frames.table.length;
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
export async function readSeekTable(reader: DumpReader, frames: Frames): Promise<void> {
  for (const expected of seekTable(frames)) {
    const found = Buffer.allocUnsafe(expected.length);
    await reader.fill(found);
    if (!found.equals(expected)) throw new FormatProblem('the seek table does not match the frames');
  }
}

function entries({ frameSize, plainBytes, table }: Frames, first: number): Buffer {
  const count = Math.min(ENTRIES_PER_CHUNK, table.length - first);
  const bytes = Buffer.allocUnsafe(count * ENTRY_BYTES);
  for (let place = 0; place < count; place += 1) {
    const index = first + place;
    bytes.writeUInt32LE(table.at(index)?.storedBytes ?? 0, place * ENTRY_BYTES);
    bytes.writeUInt32LE(Math.min(frameSize, plainBytes - index * frameSize), place * ENTRY_BYTES + 4);
  }
  return bytes;
}
