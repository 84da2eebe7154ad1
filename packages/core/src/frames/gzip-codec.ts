import { FormatProblem } from './damage.ts';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { DumpReader } from './dump-reader.ts';
import type { FoundFrame, FrameCodec } from './frame-codec.ts';
import { sharedBySize } from './shared-by-size.ts';
import { deflatedZeros } from './gzip-zero-member.ts';
import { asBuffer } from '../system/as-buffer.ts';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** Sizes of the header that zlib writes, and of ours (RFC 1952, section 2.3), which contains the stored length of the member. */
const ZLIB_HEADER_BYTES = 10;
const HEADER_BYTES = 20;
const LENGTH_OFFSET = 16;
const TRAILER_BYTES = 8;

/**
 * ID1 ID2, deflate, FEXTRA, no time, no flags, unknown system; 8 bytes of extra fields: one, `GY`, of 4 bytes. There is no time, so that
 * the same data gives the same dump.
 */
const HEADER_START = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 0x47, 0x59, 4, 0]);

/** One gzip member for each frame. Its stored length is in the header, so that the next one is found without decompressing. */
export function gzipCodec(level: number): FrameCodec {
  return {
    maxFrames: Infinity,
    minFrames: 1,
    use: () => ({ [Symbol.dispose]: () => undefined }),
    storedBound,
    zeroFrame,
    async compress(plain, output) {
      const member = await compress(plain, { level, chunkSize: storedBound(plain.length) });
      return putHeader(output, member.subarray(ZLIB_HEADER_BYTES));
    },
    read: readMember,
    readNext: readNextMember,
    checksum: async (stored) => asBuffer(stored).readUInt32LE(stored.length - TRAILER_BYTES),
    inspect,
    decompress: (stored, output) =>
      decompress(stored, { chunkSize: Math.max(64, output.length + 1), maxOutputLength: Math.max(1, output.length) }),
    trailer: () => [],
    trailerBytes: () => 0,
    async readTrailer() {
      // There is nothing after the last member.
    },
  };
}

/** zlib's deflateBound, rounded up, and our header. */
function storedBound(plainBytes: number): number {
  return plainBytes + Math.ceil(plainBytes / 256) + 1024;
}

const zeroFrame = sharedBySize(64, (plainBytes) => {
  const body = deflatedZeros(plainBytes);
  return putHeader(Buffer.alloc(HEADER_BYTES + body.length), body);
});

function putHeader(output: Uint8Array, body: Uint8Array): Uint8Array {
  const member = Buffer.from(output.buffer, output.byteOffset, HEADER_BYTES + body.length);
  member.set(HEADER_START);
  member.writeUInt32LE(member.length, LENGTH_OFFSET);
  member.set(body, HEADER_BYTES);
  return member;
}

async function readMember(reader: DumpReader, _plainBytes: number, output: Uint8Array): Promise<Uint8Array> {
  const bytes = asBuffer(output);
  await reader.fill(bytes.subarray(0, HEADER_BYTES));
  const length = memberBytes(bytes);
  if (length > bytes.length) throw new FormatProblem('the length in its header is impossible');
  await reader.fill(bytes.subarray(HEADER_BYTES, length));
  return bytes.subarray(0, length);
}

async function readNextMember(reader: DumpReader, output: Uint8Array): Promise<FoundFrame | undefined> {
  if (await reader.atEnd()) return undefined;
  const stored = await readMember(reader, 0, output);
  return { stored, plainBytes: declaredBytes(stored) };
}

/** ISIZE (RFC 1952, section 2.3.1): frames are shorter than 4 GiB. */
function declaredBytes(stored: Uint8Array): number {
  return asBuffer(stored).readUInt32LE(stored.length - 4);
}

function inspect(stored: Uint8Array, plainBytes: number): void {
  const member = asBuffer(stored);
  if (member.length < HEADER_BYTES + TRAILER_BYTES || memberBytes(member) !== member.length) {
    throw new FormatProblem('the length in its header is impossible');
  }
  const declared = declaredBytes(member);
  if (declared !== plainBytes) throw new FormatProblem(`it declares ${declared} plain bytes, expected ${plainBytes}`);
}

/** The stored length in the header of a member. */
function memberBytes(member: Buffer): number {
  if (!member.subarray(0, LENGTH_OFFSET).equals(HEADER_START))
    throw new FormatProblem('a gzip member with a stored length does not start here');
  const length = member.readUInt32LE(LENGTH_OFFSET);
  if (length < HEADER_BYTES + TRAILER_BYTES) throw new FormatProblem('the length in its header is impossible');
  return length;
}
