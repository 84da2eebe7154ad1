import type { InflateRaw } from 'node:zlib';
import { crc32, createInflateRaw } from 'node:zlib';
import { FormatProblem } from './damage.ts';
import type { DumpReader } from './dump-reader.ts';
import type { Feed } from './through-decoder.ts';
import { throughDecoder } from './through-decoder.ts';
import { isZero } from './zeros.ts';

const OUTPUT_CHUNK_BYTES = 1024 * 1024;
const HEADER_BYTES = 10;
const TRAILER_BYTES = 8;
/* Flags, RFC 1952, section 2.3.1. */
const FHCRC = 2;
const FEXTRA = 4;
const FNAME = 8;
const FCOMMENT = 16;
const RESERVED_FLAGS = 0b1110_0000;

/**
 * The plain stream of any gzip file, also with several members and zeros after the last (RFC 1952; gzip(1)). Members are parsed here
 * because Node's decoder silently ignores anything after a member that does not start another one.
 *
 * @throws FormatProblem
 */
export async function* readForeignGzip(reader: DumpReader): AsyncGenerator<Uint8Array, void, undefined> {
  let members = 0;
  while (!(await reader.atEnd())) {
    if (members > 0 && (await reader.peek())?.[0] === 0) {
      await skipPadding(reader);
      return;
    }
    await skipHeader(reader);
    yield* readMember(reader);
    members += 1;
  }
  if (members === 0) throw new FormatProblem('it contains no gzip member');
}

async function* readMember(reader: DumpReader): AsyncGenerator<Uint8Array, void, undefined> {
  const decoder = createInflateRaw({ chunkSize: OUTPUT_CHUNK_BYTES });
  let crc = 0;
  let bytes = 0;
  for await (const chunk of throughDecoder(decoder, (feed) => feedMember(reader, decoder, feed))) {
    crc = crc32(chunk, crc);
    bytes += chunk.length;
    yield chunk;
  }
  const trailer = Buffer.alloc(TRAILER_BYTES);
  await reader.fill(trailer);
  if (trailer.readUInt32LE(0) !== crc) throw new FormatProblem('the checksum of a gzip member is wrong');
  if (trailer.readUInt32LE(4) !== bytes % 2 ** 32) throw new FormatProblem('the size of a gzip member is wrong');
}

/** Only the decoder knows where the member's data ends. */
async function feedMember(reader: DumpReader, decoder: InflateRaw, feed: Feed): Promise<void> {
  for (;;) {
    const chunk = await reader.peek();
    if (chunk === undefined) return;
    const before = decoder.bytesWritten;
    await feed(chunk);
    const taken = decoder.bytesWritten - before;
    reader.consume(taken);
    if (taken < chunk.length) return;
  }
}

async function skipHeader(reader: DumpReader): Promise<void> {
  const header = Buffer.alloc(HEADER_BYTES);
  await reader.fill(header);
  if (header.readUInt16BE(0) !== 0x1f8b) throw new FormatProblem('a gzip member does not start here');
  const flags = header.readUInt8(3);
  if (header.readUInt8(2) !== 8 || (flags & RESERVED_FLAGS) !== 0)
    throw new FormatProblem('a gzip member has an unknown compression method or flag');
  if ((flags & FEXTRA) !== 0) {
    const length = Buffer.alloc(2);
    await reader.fill(length);
    await skipBytes(reader, length.readUInt16LE(0));
  }
  if ((flags & FNAME) !== 0) await skipText(reader);
  if ((flags & FCOMMENT) !== 0) await skipText(reader);
  if ((flags & FHCRC) !== 0) await skipBytes(reader, 2);
}

async function skipBytes(reader: DumpReader, bytes: number): Promise<void> {
  for await (const part of reader.parts(bytes)) void part;
}

/** Skips text and the zero byte that ends it. */
async function skipText(reader: DumpReader): Promise<void> {
  for (;;) {
    const chunk = await reader.peek();
    if (chunk === undefined) throw new FormatProblem('it ends early');
    const end = chunk.indexOf(0);
    reader.consume(end === -1 ? chunk.length : end + 1);
    if (end !== -1) return;
  }
}

/** Tapes and some tools fill their last block with zeros. */
async function skipPadding(reader: DumpReader): Promise<void> {
  for (let chunk = await reader.peek(); chunk !== undefined; chunk = await reader.peek()) {
    if (!isZero(chunk)) throw new FormatProblem('data other than a gzip member follows the last one');
    reader.consume(chunk.length);
  }
}
