import { FormatProblem } from './damage.ts';
/*
 * The parts of a zstd frame that are needed to find its end and to check its header without decompressing it (RFC 8878).
 */

/** RFC 8878, section 3.1.1. */
export const ZSTD_MAGIC: number = 0xfd2fb528;
/** RFC 8878, section 5: the start of a dictionary that has tables, and not only content. */
export const DICTIONARY_MAGIC: number = 0xec30a437;
/** RFC 8878, section 3.1.2: 0x184D2A50 to 0x184D2A5F. */
const SKIPPABLE_MAGIC = 0x184d2a50;
/** RFC 8878, section 3.1.1.1: magic, descriptor, window, dictionary id, content size. */
export const MAX_FRAME_HEADER_BYTES: number = 18;
/** RFC 8878, section 3.1.1.2: the limit for a block, stored or plain. */
export const MAX_BLOCK_BYTES: number = 128 * 1024;
export const BLOCK_HEADER_BYTES: number = 3;
export const CHECKSUM_BYTES: number = 4;

export interface ZstdFrameHeader {
  readonly headerBytes: number;
  /** Plain bytes; undefined if the frame does not declare them. */
  readonly contentBytes: bigint | undefined;
  /** How much of its output a decoder has to keep, bytes. */
  readonly windowBytes: bigint;
  readonly hasChecksum: boolean;
  /** 0 if the frame does not need a dictionary. */
  readonly dictionaryId: number;
}

/** A block header. `storedBytes` is the size of the data after it. */
export interface ZstdBlock {
  readonly last: boolean;
  readonly storedBytes: number;
}

export function isSkippableMagic(magic: number): boolean {
  // The result of `&` is signed; `>>> 0` makes it unsigned.
  return (magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC;
}

/** The length of the header, from its first five bytes (magic and descriptor). */
export function zstdHeaderBytes(start: Uint8Array): number {
  const descriptor = start[4] ?? 0;
  return 5 + windowFieldBytes(descriptor) + dictionaryFieldBytes(descriptor) + contentFieldBytes(descriptor);
}

/**
 * Reads a frame's header, magic number included.
 *
 * @throws FormatProblem if it is not a valid header
 */
export function parseZstdHeader(header: Buffer): ZstdFrameHeader {
  if (header.readUInt32LE(0) !== ZSTD_MAGIC) throw new FormatProblem('a zstd frame does not start here');
  const descriptor = header.readUInt8(4);
  if ((descriptor & 0b1000) !== 0) throw new FormatProblem('its header uses a reserved bit');
  let at = 5;
  const window = windowFieldBytes(descriptor) === 1 ? windowBytes(header.readUInt8(at)) : undefined;
  at += windowFieldBytes(descriptor);
  const dictionaryBytes = dictionaryFieldBytes(descriptor);
  const dictionaryId = dictionaryBytes === 0 ? 0 : header.readUIntLE(at, dictionaryBytes);
  at += dictionaryBytes;
  const contentBytes = readContentBytes(header, at, contentFieldBytes(descriptor));
  return {
    headerBytes: at + contentFieldBytes(descriptor),
    contentBytes,
    windowBytes: window ?? contentBytes ?? 0n,
    hasChecksum: (descriptor & 0b100) !== 0,
    dictionaryId,
  };
}

/**
 * Reads the three bytes before each block.
 *
 * @throws FormatProblem if it is not a valid block header
 */
export function parseZstdBlock(header: Buffer): ZstdBlock {
  const bits = header.readUIntLE(0, BLOCK_HEADER_BYTES);
  const type = (bits >> 1) & 3;
  const size = bits >> 3;
  if (type === RESERVED_BLOCK) throw new FormatProblem('it has a block of a reserved type');
  if (size > MAX_BLOCK_BYTES) throw new FormatProblem('it has a block that is too large');
  return { last: (bits & 1) === 1, storedBytes: type === RLE_BLOCK ? 1 : size };
}

const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

/** Section 3.1.1.1.2. */
function windowBytes(descriptor: number): bigint {
  const base = 1n << BigInt(10 + (descriptor >> 3));
  return base + (base / 8n) * BigInt(descriptor & 7);
}

function windowFieldBytes(descriptor: number): number {
  return isSingleSegment(descriptor) ? 0 : 1;
}

function dictionaryFieldBytes(descriptor: number): number {
  return [0, 1, 2, 4][descriptor & 3] ?? 0;
}

function contentFieldBytes(descriptor: number): number {
  const flag = descriptor >> 6;
  return flag === 0 ? Number(isSingleSegment(descriptor)) : 1 << flag;
}

function isSingleSegment(descriptor: number): boolean {
  return (descriptor & 0b100000) !== 0;
}

/** Section 3.1.1.1.4. */
function readContentBytes(header: Buffer, at: number, bytes: number): bigint | undefined {
  if (bytes === 0) return undefined;
  if (bytes === 8) return header.readBigUInt64LE(at);
  return BigInt(header.readUIntLE(at, bytes)) + (bytes === 2 ? 256n : 0n);
}
