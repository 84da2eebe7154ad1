import { NbdError, violation } from '../errors.ts';
import {
  INFO,
  MAX_OPTION_REPLY_BYTES,
  OPTION_HEADER_BYTES,
  OPTION_MAGIC,
  OPTION_REPLY_HEADER_BYTES,
  OPTION_REPLY_MAGIC,
} from './protocol.ts';
import { decodeText, encodeText } from './text.ts';

/** "Newstyle negotiation": an option as the client sends it. */
export function encodeOption(option: number, data: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(OPTION_HEADER_BYTES + data.length);
  bytes.writeBigUInt64BE(OPTION_MAGIC, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(data.length, 12);
  bytes.set(data, OPTION_HEADER_BYTES);
  return bytes;
}

export interface OptionHeader {
  readonly option: number;
  /** Bytes. */
  readonly length: number;
}

/** @throws NbdError `protocol` */
export function decodeOptionHeader(bytes: Buffer): OptionHeader {
  if (bytes.readBigUInt64BE(0) !== OPTION_MAGIC) throw violation('sent something else than an option');
  return { option: bytes.readUInt32BE(8), length: bytes.readUInt32BE(12) };
}

/** "Fixed newstyle negotiation": a reply to an option. */
export function encodeOptionReply(option: number, type: number, data: Uint8Array = new Uint8Array()): Buffer {
  const bytes = Buffer.alloc(OPTION_REPLY_HEADER_BYTES + data.length);
  bytes.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(type, 12);
  bytes.writeUInt32BE(data.length, 16);
  bytes.set(data, OPTION_REPLY_HEADER_BYTES);
  return bytes;
}

export interface OptionReplyHeader extends OptionHeader {
  readonly type: number;
}

/** @throws NbdError `protocol` */
export function decodeOptionReplyHeader(bytes: Buffer): OptionReplyHeader {
  if (bytes.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC) throw violation('sent something else than a reply to an option');
  const length = bytes.readUInt32BE(16);
  if (length > MAX_OPTION_REPLY_BYTES) throw violation(`sent a reply of ${length} bytes to an option`);
  return { option: bytes.readUInt32BE(8), type: bytes.readUInt32BE(12), length };
}

/** Data of `NBD_OPT_INFO` and `NBD_OPT_GO`. */
export function encodeInfoRequest(name: string, wanted: readonly number[]): Buffer {
  const text = encodeText(name, 'the name of an export');
  const bytes = Buffer.alloc(6 + text.length + 2 * wanted.length);
  bytes.writeUInt32BE(text.length, 0);
  bytes.set(text, 4);
  bytes.writeUInt16BE(wanted.length, 4 + text.length);
  for (const [at, info] of wanted.entries()) bytes.writeUInt16BE(info, 6 + text.length + 2 * at);
  return bytes;
}

/** @throws NbdError `protocol` */
export function decodeInfoRequest(data: Buffer): { readonly name: string; readonly wanted: readonly number[] } {
  const cursor = new Cursor(data);
  const name = decodeText(cursor.take(cursor.uint32()));
  const wanted = Array.from({ length: cursor.uint16() }, () => cursor.uint16());
  cursor.end();
  return { name, wanted };
}

/** Data of `NBD_OPT_LIST_META_CONTEXT` and `NBD_OPT_SET_META_CONTEXT`. */
export function encodeContextQueries(name: string, queries: readonly string[]): Buffer {
  const texts = [encodeText(name, 'the name of an export'), ...queries.map((query) => encodeText(query, 'the name of a metadata context'))];
  const [first, ...rest] = texts.map((text) => Buffer.concat([uint32(text.length), text]));
  return Buffer.concat([first ?? uint32(0), uint32(queries.length), ...rest]);
}

/** @throws NbdError `protocol` */
export function decodeContextQueries(data: Buffer): { readonly name: string; readonly queries: readonly string[] } {
  const cursor = new Cursor(data);
  const name = decodeText(cursor.take(cursor.uint32()));
  const count = cursor.uint32();
  const queries: string[] = [];
  // Each takes its length's four bytes at least, so that the data's size bounds the list.
  while (queries.length < count) queries.push(decodeText(cursor.take(cursor.uint32())));
  cursor.end();
  return { name, queries };
}

/** Data of `NBD_REP_META_CONTEXT`. */
export function encodeContext(id: number, name: string): Buffer {
  return Buffer.concat([uint32(id), encodeText(name, 'the name of a metadata context')]);
}

/** @throws NbdError `protocol` */
export function decodeContext(data: Buffer): { readonly id: number; readonly name: string } {
  const cursor = new Cursor(data);
  return { id: cursor.uint32(), name: decodeText(cursor.rest()) };
}

/** An export as `NBD_OPT_LIST` names it. */
export interface ListedExport {
  readonly name: string;
  /** For a human; empty where there is none. */
  readonly description: string;
}

/** Data of `NBD_REP_SERVER`. */
export function encodeListedExport({ name, description }: ListedExport): Buffer {
  const text = encodeText(name, 'the name of an export');
  return Buffer.concat([uint32(text.length), text, encodeText(description, 'the description of an export')]);
}

/** @throws NbdError `protocol` */
export function decodeListedExport(data: Buffer): ListedExport {
  const cursor = new Cursor(data);
  return { name: decodeText(cursor.take(cursor.uint32())), description: decodeText(cursor.rest()) };
}

/** What `NBD_INFO_EXPORT` says. */
export interface ExportSize {
  /** Bytes. */
  readonly size: number;
  /** "Transmission flags" */
  readonly flags: number;
}

/** "Size constraints", bytes. */
export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

/** Data of `NBD_REP_INFO`. */
export type InfoReply =
  | { readonly type: 'export'; readonly export: ExportSize }
  | { readonly type: 'block-size'; readonly blockSizes: BlockSizes }
  | { readonly type: 'description'; readonly description: string }
  | { readonly type: 'other' };

export function encodeExportInfo({ size, flags }: ExportSize): Buffer {
  return Buffer.concat([uint16(INFO.EXPORT), encodeExportSize({ size, flags })]);
}

/** What `NBD_OPT_EXPORT_NAME` is answered with, but for the 124 zeros. */
export function encodeExportSize({ size, flags }: ExportSize): Buffer {
  const bytes = Buffer.alloc(10);
  bytes.writeBigUInt64BE(BigInt(size), 0);
  bytes.writeUInt16BE(flags, 8);
  return bytes;
}

export function encodeBlockSizes({ minimum, preferred, maximum }: BlockSizes): Buffer {
  return Buffer.concat([uint16(INFO.BLOCK_SIZE), uint32(minimum), uint32(preferred), uint32(maximum)]);
}

export function encodeDescription(description: string): Buffer {
  return Buffer.concat([uint16(INFO.DESCRIPTION), encodeText(description, 'the description of an export')]);
}

/** @throws NbdError `protocol`, `unsupported` */
export function decodeInfo(data: Buffer): InfoReply {
  const cursor = new Cursor(data);
  switch (cursor.uint16()) {
    case INFO.EXPORT:
      return { type: 'export', export: decodeExportSize(cursor.rest()) };
    case INFO.BLOCK_SIZE: {
      const [minimum, preferred, maximum] = [cursor.uint32(), cursor.uint32(), cursor.uint32()];
      cursor.end();
      return { type: 'block-size', blockSizes: { minimum, preferred, maximum } };
    }
    case INFO.DESCRIPTION:
      return { type: 'description', description: decodeText(cursor.rest()) };
    default:
      return { type: 'other' };
  }
}

/** @throws NbdError `protocol`, `unsupported` */
export function decodeExportSize(data: Buffer): ExportSize {
  const cursor = new Cursor(data);
  const size = cursor.uint64();
  const flags = cursor.uint16();
  cursor.end();
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw new NbdError('unsupported', `the NBD server says that the export has ${size} bytes`);
  return { size: Number(size), flags };
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Reads from the front; what is not there is a violation of the protocol. */
class Cursor {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  take(bytes: number): Buffer {
    const from = this.#at;
    if (bytes > this.#data.length - from) throw violation('sent data of an option that ends too early');
    this.#at += bytes;
    return this.#data.subarray(from, this.#at);
  }

  rest(): Buffer {
    return this.take(this.#data.length - this.#at);
  }

  uint16(): number {
    return this.take(2).readUInt16BE();
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  uint64(): bigint {
    return this.take(8).readBigUInt64BE();
  }

  end(): void {
    if (this.#at !== this.#data.length) throw violation('sent data of an option that is too long');
  }
}
