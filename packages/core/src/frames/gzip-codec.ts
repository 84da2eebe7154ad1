import { FormatProblem } from './damage.ts';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import { deflatedZeros } from './gzip-zero-member.ts';
import { asBuffer } from '../system/as-buffer.ts';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

/** The header that zlib writes, and ours (RFC 1952, section 2.3), which tells the stored length of the member. */
const ZLIB_HEADER_BYTES = 10;
const HEADER_BYTES = 20;
const LENGTH_AT = 16;
const TRAILER_BYTES = 8;

/**
 * ID1 ID2, deflate, FEXTRA, no time, no flags, system unknown; 8 bytes of extra fields: one, `GY`, of 4 bytes. Without a time, so that
 * the same data makes the same dump.
 */
const HEADER_START = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 0x47, 0x59, 4, 0]);

/** One gzip member for each frame, with its stored length in the header, so that the next is found without decompressing. */
export function gzipCodec(level: number): FrameCodec {
  return {
    maxFrames: Infinity,
    minFrames: 1,
    use: () => ({ [Symbol.dispose]: () => undefined }),
    storedBound,
    zeroFrame,
    async compress(plain, output) {
      const made = await compress(plain, { level, chunkSize: storedBound(plain.length) });
      return putHeader(output, made.subarray(ZLIB_HEADER_BYTES));
    },
    read: readMember,
    checksum: async (stored) => asBuffer(stored).readUInt32LE(stored.length - TRAILER_BYTES),
    inspect,
    decompress: (stored, output) =>
      decompress(stored, { chunkSize: Math.max(64, output.length + 1), maxOutputLength: Math.max(1, output.length) }),
    trailer: () => [],
    trailerBytes: () => 0,
    async readTrailer() {
      // Nothing stands behind the last member.
    },
  };
}

/** deflateBound of zlib, rounded up, and our header. */
function storedBound(plainBytes: number): number {
  return plainBytes + Math.ceil(plainBytes / 256) + 1024;
}

const made = new Map<number, Uint8Array>();

function zeroFrame(plainBytes: number): Uint8Array {
  const known = made.get(plainBytes);
  if (known !== undefined) return known;
  const body = deflatedZeros(plainBytes);
  const frame = putHeader(Buffer.alloc(HEADER_BYTES + body.length), body);
  // Frames have one size, but for the last of each dump.
  if (made.size >= 64) made.clear();
  made.set(plainBytes, frame);
  return frame;
}

function putHeader(output: Uint8Array, body: Uint8Array): Uint8Array {
  const member = Buffer.from(output.buffer, output.byteOffset, HEADER_BYTES + body.length);
  member.set(HEADER_START);
  member.writeUInt32LE(member.length, LENGTH_AT);
  member.set(body, HEADER_BYTES);
  return member;
}

async function readMember(reader: DumpReader, _plainBytes: number, output: Uint8Array): Promise<Uint8Array> {
  const bytes = asBuffer(output);
  await reader.fill(bytes.subarray(0, HEADER_BYTES));
  const length = memberBytes(bytes);
  if (length > bytes.length) throw new FormatProblem('its length cannot be right');
  await reader.fill(bytes.subarray(HEADER_BYTES, length));
  return bytes.subarray(0, length);
}

function inspect(stored: Uint8Array, plainBytes: number): void {
  const member = asBuffer(stored);
  if (member.length < HEADER_BYTES + TRAILER_BYTES || memberBytes(member) !== member.length) {
    throw new FormatProblem('its length cannot be right');
  }
  // ISIZE (RFC 1952, section 2.3.1): frames are shorter than 4 GiB.
  const declared = member.readUInt32LE(member.length - 4);
  if (declared !== plainBytes) throw new FormatProblem(`it declares ${declared} plain bytes and should have ${plainBytes}`);
}

/** The stored length that the header of a member says. */
function memberBytes(member: Buffer): number {
  if (!member.subarray(0, LENGTH_AT).equals(HEADER_START)) throw new FormatProblem('no gzip member of a dump begins here');
  const length = member.readUInt32LE(LENGTH_AT);
  if (length < HEADER_BYTES + TRAILER_BYTES) throw new FormatProblem('its length cannot be right');
  return length;
}
