import { zstdCompressSync, constants } from 'node:zlib';
import { CHECKSUM_BYTES, LARGEST_BLOCK, ZSTD_MAGIC } from './zstd-format.ts';
import { FRAME_SIZE } from './types.ts';
import { ZEROS } from './zeros.ts';

/** Single segment, content size in 4 bytes, content checksum (RFC 8878, section 3.1.1.1.1). */
const DESCRIPTOR = 0b1010_0100;
/** Fewer zeros than this are shorter as they are than as a compressed block. */
const FEWEST_FOR_LITERALS = 8;
const RAW_BLOCK = 0;
const RLE_BLOCK = 1;
const COMPRESSED_BLOCK = 2;

/** The checksum of a usual frame. To find it out takes 10 ms, in every command that reads or writes a dump. */
const CHECKSUM_OF_USUAL_FRAME = Buffer.of(0x28, 0x9d, 0xbc, 0x7c);

const made = new Map<number, Uint8Array>();

/**
 * The zstd frame of so many zeros: always the same bytes, whatever the library's version and the level, so that readers know it
 * without decompressing it. The first block is none of the RLE kind, which zstd before 1.4.4 cannot read there.
 */
export function zstdZeroFrame(bytes: number): Uint8Array {
  const known = made.get(bytes);
  if (known !== undefined) return known;
  const frame = makeFrame(bytes);
  // Frames have one size, but for the last of each dump.
  if (made.size >= 64) made.clear();
  made.set(bytes, frame);
  return frame;
}

function makeFrame(bytes: number): Uint8Array {
  const header = Buffer.alloc(9);
  header.writeUInt32LE(ZSTD_MAGIC, 0);
  header.writeUInt8(DESCRIPTOR, 4);
  header.writeUInt32LE(bytes, 5);
  const first = Math.min(bytes, LARGEST_BLOCK);
  const parts: Uint8Array[] = [header, firstBlock(first, first === bytes)];
  for (let left = bytes - first; left > 0;) {
    const size = Math.min(left, LARGEST_BLOCK);
    left -= size;
    parts.push(block(RLE_BLOCK, size, left === 0, Buffer.of(0)));
  }
  return Buffer.concat([...parts, checksumOfZeros(bytes)]);
}

function firstBlock(bytes: number, last: boolean): Buffer {
  if (bytes < FEWEST_FOR_LITERALS) return block(RAW_BLOCK, bytes, last, ZEROS.subarray(0, bytes));
  // Literals of the RLE kind with a size of 20 bits (section 3.1.1.3.1.1), the byte, and no sequences.
  const content = Buffer.alloc(5);
  content.writeUIntLE(0b1101 | (bytes << 4), 0, 3);
  return block(COMPRESSED_BLOCK, content.length, last, content);
}

function block(type: number, size: number, last: boolean, content: Uint8Array): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE(Number(last) | (type << 1) | (size << 3), 0, 3);
  return Buffer.concat([header, content]);
}

/** The low half of XXH64: what any zstd writes at the end of any frame with these contents. */
function checksumOfZeros(bytes: number): Uint8Array {
  if (bytes === FRAME_SIZE) return CHECKSUM_OF_USUAL_FRAME;
  const frame = zstdCompressSync(Buffer.alloc(bytes), { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  return frame.subarray(-CHECKSUM_BYTES);
}
