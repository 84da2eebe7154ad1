import { createZstdDecompress } from 'node:zlib';
import { GantryError } from '../report/errors.ts';
import { FormatProblem } from './damage.ts';
import type { DumpReader } from './dump-reader.ts';
import type { Feed } from './through-decoder.ts';
import { throughDecoder } from './through-decoder.ts';
import type { ZstdFrameHeader } from './zstd-format.ts';
import {
  BLOCK_HEADER_BYTES,
  CHECKSUM_BYTES,
  isSkippableMagic,
  MAX_FRAME_HEADER_BYTES,
  parseZstdBlock,
  parseZstdHeader,
  zstdHeaderBytes,
} from './zstd-format.ts';

/** The default limit of zstd's own decoder (ZSTD_WINDOWLOG_LIMIT_DEFAULT). */
const MAX_WINDOW_BYTES = 128 * 1024 * 1024;
const OUTPUT_CHUNK_BYTES = 1024 * 1024;
const MAGIC_BYTES = 4;

/**
 * The plain stream of any zstd file, also with several frames and skippable frames (RFC 8878, section 3.1). Node's decoder gets one frame
 * at a time, because it accepts anything after a skippable frame, and a file that ends between two frames.
 *
 * @throws FormatProblem
 * @throws GantryError `CODEC_UNKNOWN` for valid data that cannot be read here: dictionaries, windows above 128 MiB
 */
export async function* readForeignZstd(reader: DumpReader): AsyncGenerator<Uint8Array, void, undefined> {
  let frames = 0;
  while (!(await reader.atEnd())) {
    const start = Buffer.alloc(MAX_FRAME_HEADER_BYTES);
    await reader.fill(start.subarray(0, MAGIC_BYTES));
    if (isSkippableMagic(start.readUInt32LE(0))) {
      await skipSkippable(reader);
      continue;
    }
    await fillHeader(reader, start);
    const header = parseZstdHeader(start);
    assertReadable(header);
    yield* throughDecoder(createZstdDecompress({ chunkSize: OUTPUT_CHUNK_BYTES }), (feed) => feedFrame(reader, start, header, feed));
    frames += 1;
  }
  if (frames === 0) throw new FormatProblem('it contains no zstd frame');
}

/** Reads the rest of the header, after the magic number. */
async function fillHeader(reader: DumpReader, start: Buffer): Promise<void> {
  await reader.fill(start.subarray(MAGIC_BYTES, MAGIC_BYTES + 1));
  await reader.fill(start.subarray(MAGIC_BYTES + 1, zstdHeaderBytes(start)));
}

async function skipSkippable(reader: DumpReader): Promise<void> {
  const size = Buffer.alloc(4);
  await reader.fill(size);
  for await (const part of reader.parts(size.readUInt32LE(0))) void part;
}

async function feedFrame(reader: DumpReader, start: Buffer, header: ZstdFrameHeader, feed: Feed): Promise<void> {
  await feed(start.subarray(0, header.headerBytes));
  for (;;) {
    const bits = Buffer.alloc(BLOCK_HEADER_BYTES);
    await reader.fill(bits);
    const block = parseZstdBlock(bits);
    await feed(bits);
    for await (const part of reader.parts(block.storedBytes)) await feed(part);
    if (block.last) break;
  }
  if (header.hasChecksum) for await (const part of reader.parts(CHECKSUM_BYTES)) await feed(part);
}

function assertReadable({ windowBytes, dictionaryId }: ZstdFrameHeader): void {
  if (dictionaryId !== 0) throw cannotRead(`it was compressed with the dictionary ${dictionaryId}`, 'zstd -D DICTIONARY -dc');
  if (windowBytes > MAX_WINDOW_BYTES) throw cannotRead(`its window of ${windowBytes} bytes is above 128 MiB`, 'zstd --long=31 -dc');
}

function cannotRead(problem: string, command: string): GantryError {
  return new GantryError('CODEC_UNKNOWN', {
    message: `cannot read the dump: ${problem}`,
    hint: `Decompress it with ${command}, and compress it again without that option or import the plain file.`,
  });
}
