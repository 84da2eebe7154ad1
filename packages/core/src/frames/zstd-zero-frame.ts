import { zstdCompressSync, constants } from 'node:zlib';
import { CHECKSUM_BYTES, MAX_BLOCK_BYTES, ZSTD_MAGIC } from './zstd-format.ts';
import { sharedBySize } from './shared-by-size.ts';
import { FRAME_SIZE } from './types.ts';
import { ZEROS } from './zeros.ts';

/** Single segment, content size in 4 bytes, content checksum (RFC 8878, section 3.1.1.1.1). */
const DESCRIPTOR = 0b1010_0100;
/** Fewer zeros are smaller as a raw block than as a compressed one. */
const MIN_LITERAL_BYTES = 8;
const RAW_BLOCK = 0;
const RLE_BLOCK = 1;
const COMPRESSED_BLOCK = 2;

/** The checksum of a frame of the default size. Computing it in every command that reads or writes a dump would take 10 ms each time. */
const CHECKSUM_OF_DEFAULT_FRAME = Buffer.of(0x28, 0x9d, 0xbc, 0x7c);

/**
 * The zstd frame of this many zeros: the same bytes for all levels and versions of the library, so that readers recognize it without
 * decompressing it. The first block is not of the RLE type, which zstd before 1.4.4 cannot read there.
 */
export const zstdZeroFrame: (bytes: number) => Uint8Array = sharedBySize(64, makeFrame);

function makeFrame(bytes: number): Uint8Array {
  const header = Buffer.alloc(9);
  header.writeUInt32LE(ZSTD_MAGIC, 0);
  header.writeUInt8(DESCRIPTOR, 4);
  header.writeUInt32LE(bytes, 5);
  const first = Math.min(bytes, MAX_BLOCK_BYTES);
  const parts: Uint8Array[] = [header, firstBlock(first, first === bytes)];
  for (let left = bytes - first; left > 0;) {
    const size = Math.min(left, MAX_BLOCK_BYTES);
    left -= size;
    parts.push(block(RLE_BLOCK, size, left === 0, Buffer.of(0)));
  }
  return Buffer.concat([...parts, checksumOfZeros(bytes)]);
}

function firstBlock(bytes: number, last: boolean): Buffer {
  if (bytes < MIN_LITERAL_BYTES) return block(RAW_BLOCK, bytes, last, ZEROS.subarray(0, bytes));
  // Literals of the RLE type with a size of 20 bits (section 3.1.1.3.1.1), the byte, and no sequences.
  const content = Buffer.alloc(5);
  content.writeUIntLE(0b1101 | (bytes << 4), 0, 3);
  return block(COMPRESSED_BLOCK, content.length, last, content);
}

function block(type: number, size: number, last: boolean, content: Uint8Array): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE(Number(last) | (type << 1) | (size << 3), 0, 3);
  return Buffer.concat([header, content]);
}

/** The low half of XXH64, which every version of zstd writes at the end of a frame with these contents. */
function checksumOfZeros(bytes: number): Uint8Array {
  if (bytes === FRAME_SIZE) return CHECKSUM_OF_DEFAULT_FRAME;
  const frame = zstdCompressSync(Buffer.alloc(bytes), { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  return frame.subarray(-CHECKSUM_BYTES);
}
