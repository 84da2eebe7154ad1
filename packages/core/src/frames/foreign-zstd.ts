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
  LONGEST_FRAME_HEADER,
  parseZstdBlock,
  parseZstdHeader,
  zstdHeaderBytes,
} from './zstd-format.ts';

/** What zstd itself allows a decoder that was not told otherwise (ZSTD_WINDOWLOG_LIMIT_DEFAULT). Bytes. */
const LARGEST_WINDOW = 128 * 1024 * 1024;
const OUTPUT_CHUNK_BYTES = 1024 * 1024;
const MAGIC_BYTES = 4;

/**
 * The plain stream of any zstd file: several frames and skippable frames too (RFC 8878, section 3.1). Node's decoder is given one frame at
 * a time, since it takes what follows a skippable frame, or is cut off between two frames, for good.
 *
 * @throws FormatProblem
 * @throws GantryError `CODEC_UNKNOWN` for what is sound and cannot be read here: dictionaries, windows above 128 MiB
 */
export async function* readForeignZstd(reader: DumpReader): AsyncGenerator<Uint8Array, void, undefined> {
  let frames = 0;
  while (!(await reader.atEnd())) {
    const start = Buffer.alloc(LONGEST_FRAME_HEADER);
    await reader.fill(start.subarray(0, MAGIC_BYTES));
    if (isSkippableMagic(start.readUInt32LE(0))) {
      await passSkippable(reader);
      continue;
    }
    await fillHeader(reader, start);
    const header = parseZstdHeader(start);
    assertReadable(header);
    yield* throughDecoder(createZstdDecompress({ chunkSize: OUTPUT_CHUNK_BYTES }), (feed) => feedFrame(reader, start, header, feed));
    frames += 1;
  }
  if (frames === 0) throw new FormatProblem('it has no zstd frame');
}

/** Bytes beyond the magic number, as far as there is a header. */
async function fillHeader(reader: DumpReader, start: Buffer): Promise<void> {
  await reader.fill(start.subarray(MAGIC_BYTES, MAGIC_BYTES + 1));
  await reader.fill(start.subarray(MAGIC_BYTES + 1, zstdHeaderBytes(start)));
}

async function passSkippable(reader: DumpReader): Promise<void> {
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
  if (dictionaryId !== 0) throw unreadable(`it was compressed with the dictionary ${dictionaryId}`, 'zstd -D DICTIONARY -dc');
  if (windowBytes > LARGEST_WINDOW) throw unreadable(`its window of ${windowBytes} bytes is above 128 MiB`, 'zstd --long=31 -dc');
}

function unreadable(problem: string, command: string): GantryError {
  return new GantryError('CODEC_UNKNOWN', {
    message: `the dump cannot be read here: ${problem}`,
    hint: `Decompress it with ${command}, and compress it again without that option or import the plain file.`,
  });
}
