import { violation } from '../errors.ts';
import type { Extent } from '../extents.ts';
import {
  CHUNK,
  CHUNK_DONE,
  CHUNK_HEADER_BYTES,
  REQUEST_BYTES,
  REQUEST_MAGIC,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from './protocol.ts';
import { decodeMessage } from './text.ts';

/** "Request message" */
export interface Request {
  readonly flags: number;
  readonly command: number;
  readonly cookie: bigint;
  /** Bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

export function encodeRequest({ flags, command, cookie, offset, length }: Request): Buffer {
  const bytes = Buffer.allocUnsafe(REQUEST_BYTES);
  bytes.writeUInt32BE(REQUEST_MAGIC, 0);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(cookie, 8);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

/** @throws NbdError `protocol`. An offset beyond the safe integers is beyond every export, and stays so as a rounded number. */
export function decodeRequest(bytes: Buffer): Request {
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) throw violation('sent something else than a request');
  return {
    flags: bytes.readUInt16BE(4),
    command: bytes.readUInt16BE(6),
    cookie: bytes.readBigUInt64BE(8),
    offset: Number(bytes.readBigUInt64BE(16)),
    length: bytes.readUInt32BE(24),
  };
}

/** "Simple reply message" */
export interface SimpleReply {
  readonly type: 'simple';
  readonly errno: number;
  readonly cookie: bigint;
}

/** "Structured reply chunk message", its header. */
export interface ChunkHeader {
  readonly type: 'chunk';
  readonly done: boolean;
  readonly chunk: number;
  readonly cookie: bigint;
  /** Bytes of the payload. */
  readonly length: number;
}

export function encodeSimpleReply({ errno, cookie }: Omit<SimpleReply, 'type'>): Buffer {
  const bytes = Buffer.allocUnsafe(SIMPLE_REPLY_BYTES);
  bytes.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(errno, 4);
  bytes.writeBigUInt64BE(cookie, 8);
  return bytes;
}

export function encodeChunkHeader({ done, chunk, cookie, length }: Omit<ChunkHeader, 'type'>): Buffer {
  const bytes = Buffer.allocUnsafe(CHUNK_HEADER_BYTES);
  bytes.writeUInt32BE(STRUCTURED_REPLY_MAGIC, 0);
  bytes.writeUInt16BE(done ? CHUNK_DONE : 0, 4);
  bytes.writeUInt16BE(chunk, 6);
  bytes.writeBigUInt64BE(cookie, 8);
  bytes.writeUInt32BE(length, 16);
  return bytes;
}

/**
 * The first {@link SIMPLE_REPLY_BYTES} of either kind of reply; a chunk's length follows in four more.
 * @throws NbdError `protocol`
 */
export function decodeReply(bytes: Buffer): SimpleReply | Omit<ChunkHeader, 'length'> {
  const cookie = bytes.readBigUInt64BE(8);
  switch (bytes.readUInt32BE(0)) {
    case SIMPLE_REPLY_MAGIC:
      return { type: 'simple', errno: bytes.readUInt32BE(4), cookie };
    case STRUCTURED_REPLY_MAGIC:
      return { type: 'chunk', done: (bytes.readUInt16BE(4) & CHUNK_DONE) !== 0, chunk: bytes.readUInt16BE(6), cookie };
    default:
      throw violation('sent something else than a reply');
  }
}

/** Payload of a chunk `NBD_REPLY_TYPE_BLOCK_STATUS`. */
export function encodeStatus(context: number, extents: readonly Extent[]): Buffer {
  const bytes = Buffer.allocUnsafe(4 + 8 * extents.length);
  bytes.writeUInt32BE(context, 0);
  for (const [at, { length, flags }] of extents.entries()) {
    bytes.writeUInt32BE(length, 4 + 8 * at);
    bytes.writeUInt32BE(flags, 8 + 8 * at);
  }
  return bytes;
}

/**
 * @param offset at which the first extent begins
 * @throws NbdError `protocol`
 */
export function decodeStatus(payload: Buffer, offset: number): { readonly context: number; readonly extents: readonly Extent[] } {
  if (payload.length < 12 || payload.length % 8 !== 4) throw violation(`sent a block status of ${payload.length} bytes`);
  const extents: Extent[] = [];
  let next = offset;
  for (let at = 4; at < payload.length; at += 8) {
    const length = payload.readUInt32BE(at);
    if (length === 0) throw violation(`sent an extent of length 0 at offset ${next}`);
    extents.push({ offset: next, length, flags: payload.readUInt32BE(at + 4) });
    next += length;
  }
  return { context: payload.readUInt32BE(0), extents };
}

/** An error as a server says it. */
export interface ErrorReply {
  readonly errno: number;
  /** For a human, fit for a terminal; empty where there is none. */
  readonly message: string;
}

/** Payload of a chunk `NBD_REPLY_TYPE_ERROR`. */
export function encodeError({ errno, message }: ErrorReply): Buffer {
  const text = Buffer.from(message);
  const bytes = Buffer.alloc(6 + text.length);
  bytes.writeUInt32BE(errno, 0);
  bytes.writeUInt16BE(text.length, 4);
  bytes.set(text, 6);
  return bytes;
}

/** Any error chunk, known or not: "All error chunk types … begin with the same fields". @throws NbdError `protocol` */
export function decodeError(chunk: number, payload: Buffer): ErrorReply {
  const fixed = chunk === CHUNK.ERROR_OFFSET ? 14 : 6;
  if (payload.length < fixed || payload.readUInt16BE(4) > payload.length - fixed)
    throw violation(`sent an error chunk of ${payload.length} bytes that ends too early`);
  const errno = payload.readUInt32BE(0);
  if (errno === 0) throw violation('sent an error chunk without an error');
  return { errno, message: decodeMessage(payload.subarray(6, 6 + payload.readUInt16BE(4))) };
}
