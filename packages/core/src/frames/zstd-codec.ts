import { FormatProblem } from './damage.ts';
import type { NativeZstd } from '../system/zstd.ts';
import { findNativeZstd } from '../system/zstd.ts';
import type { DumpReader } from './dump-reader.ts';
import type { FoundFrame, FrameCodec, FramePatches } from './frame-codec.ts';
import {
  BLOCK_HEADER_BYTES,
  CHECKSUM_BYTES,
  DICTIONARY_MAGIC,
  isSkippableMagic,
  MAX_FRAME_HEADER_BYTES,
  parseZstdBlock,
  parseZstdHeader,
  zstdHeaderBytes,
} from './zstd-format.ts';
import { MAX_FRAMES_IN_SEEK_TABLE, readSeekTable, seekTable, seekTableBytes } from './zstd-seek-table.ts';
import { NODE_ZSTD } from './node-zstd.ts';
import { zstdZeroFrame } from './zstd-zero-frame.ts';
import { asBuffer } from '../system/as-buffer.ts';

/**
 * zstd's seekable format: frames with content size and content checksum, then the seek table.
 *
 * @param zstd the implementation that compresses and decompresses
 */
export function zstdCodec(level: number, zstd: NativeZstd = findNativeZstd() ?? NODE_ZSTD): FrameCodec {
  return {
    maxFrames: MAX_FRAMES_IN_SEEK_TABLE,
    minFrames: 1,
    use: () => zstd.use(),
    storedBound,
    zeroFrame: zstdZeroFrame,
    patches: patchesOf(level, zstd),
    compress: (plain, output) => zstd.compress(plain, output, level),
    checksum: async (stored) => asBuffer(stored).readUInt32LE(stored.length - CHECKSUM_BYTES),
    read: readFrame,
    readNext: readNextFrame,
    inspect: (stored, plainBytes) => inspectHeader(asBuffer(stored), plainBytes),
    decompress: (stored, output) => zstd.decompress(stored, output),
    trailer: seekTable,
    trailerBytes: seekTableBytes,
    readTrailer: readSeekTable,
  };
}

function patchesOf(level: number, zstd: NativeZstd): FramePatches {
  return {
    // The zlib module of Node would take such a base for a dictionary with tables.
    isPossible: (base) => base.length > 0 && !(base.length >= 4 && asBuffer(base).readUInt32LE(0) === DICTIONARY_MAGIC),
    compress: (plain, base, output) => zstd.compressPatch(plain, base, output, level),
    decompress: (stored, base, output) => zstd.decompressPatch(stored, base, output),
  };
}

/** ZSTD_COMPRESSBOUND of zstd.h, and at least the header and checksum of a tiny frame. */
function storedBound(plainBytes: number): number {
  return plainBytes + Math.ceil(plainBytes / 256) + 1024;
}

/** Finds the end of the frame by its block headers. */
async function readFrame(reader: DumpReader, plainBytes: number, output: Uint8Array): Promise<Uint8Array> {
  const bytes = asBuffer(output);
  await reader.fill(bytes.subarray(0, 5));
  const headerBytes = zstdHeaderBytes(bytes);
  await reader.fill(bytes.subarray(5, headerBytes));
  inspectHeader(bytes, plainBytes);
  let end = headerBytes;
  const grow = async (more: number): Promise<Buffer> => {
    if (end + more > bytes.length) throw new FormatProblem('it is longer than a frame of its size can be');
    const part = bytes.subarray(end, end + more);
    await reader.fill(part);
    end += more;
    return part;
  };
  for (;;) {
    const block = parseZstdBlock(await grow(BLOCK_HEADER_BYTES));
    await grow(block.storedBytes);
    if (block.last) break;
  }
  await grow(CHECKSUM_BYTES);
  return bytes.subarray(0, end);
}

/** Every frame declares its size. The seek table is a skippable frame. */
async function readNextFrame(reader: DumpReader, output: Uint8Array): Promise<FoundFrame | undefined> {
  const start = Buffer.from((await reader.peekAtLeast(MAX_FRAME_HEADER_BYTES)).subarray(0, MAX_FRAME_HEADER_BYTES));
  if (start.length < MAX_FRAME_HEADER_BYTES) throw new FormatProblem('it ends early');
  if (isSkippableMagic(start.readUInt32LE(0))) return undefined;
  const { contentBytes } = parseZstdHeader(start);
  if (contentBytes === undefined || contentBytes > BigInt(output.length)) throw new FormatProblem('it does not declare a possible size');
  const plainBytes = Number(contentBytes);
  return { stored: await readFrame(reader, plainBytes, output), plainBytes };
}

function inspectHeader(start: Buffer, plainBytes: number): void {
  if (start.length < 5 || start.length < zstdHeaderBytes(start) + CHECKSUM_BYTES)
    throw new FormatProblem('it is too short for a zstd frame');
  const header = parseZstdHeader(start.subarray(0, MAX_FRAME_HEADER_BYTES));
  if (!header.hasChecksum) throw new FormatProblem('it has no checksum');
  if (header.dictionaryId !== 0) throw new FormatProblem('it needs a dictionary');
  if (header.contentBytes !== BigInt(plainBytes)) {
    const declared = header.contentBytes === undefined ? 'does not declare its size' : `declares ${header.contentBytes} plain bytes`;
    throw new FormatProblem(`it ${declared}, expected ${plainBytes} plain bytes`);
  }
}
