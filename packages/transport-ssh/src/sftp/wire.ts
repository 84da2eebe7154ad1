import { Buffer } from 'node:buffer';

/** The peer sent something that is not valid SFTP. It ends the connection. */
export class SftpProtocolError extends Error {
  override readonly name = 'SftpProtocolError';
}

/** Reads the fields of a packet, in order. Every read @throws SftpProtocolError beyond the end */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  /** @throws SftpProtocolError if the number is too large for JavaScript (2^53) */
  uint64(): number {
    const value = this.bigUint64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new SftpProtocolError(`the peer sent a number that is too large: ${value}`);
    return Number(value);
  }

  /** For numbers that mean "none" when all bits are set. */
  bigUint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }

  /** Bytes preceded by their length, as a view without a copy. */
  bytes(): Buffer {
    const length = this.uint32();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  #take(count: number): number {
    const start = this.#at;
    if (count > this.remaining) throw new SftpProtocolError(`the peer sent a packet that ends ${count - this.remaining} bytes too early`);
    this.#at += count;
    return start;
  }
}

/** A field of a packet: a number of 4 bytes, a bigint of 8 bytes, or a text or bytes preceded by their length. */
export type WireField = number | bigint | string | Uint8Array;

/** A complete packet: its length, its type, its fields. */
export function encodePacket(type: number, fields: readonly WireField[]): Buffer {
  let length = 1;
  for (const field of fields) length += fieldBytes(field);
  const packet = Buffer.allocUnsafe(4 + length);
  packet.writeUInt32BE(length, 0);
  packet.writeUInt8(type, 4);
  let at = 5;
  for (const field of fields) at = writeField(packet, field, at);
  return packet;
}

function fieldBytes(field: WireField): number {
  if (typeof field === 'number') return 4;
  if (typeof field === 'bigint') return 8;
  return 4 + (typeof field === 'string' ? Buffer.byteLength(field, 'utf8') : field.length);
}

function writeField(packet: Buffer, field: WireField, at: number): number {
  if (typeof field === 'number') return packet.writeUInt32BE(field, at);
  if (typeof field === 'bigint') return packet.writeBigUInt64BE(field, at);
  const bytes = typeof field === 'string' ? Buffer.from(field, 'utf8') : field;
  packet.set(bytes, packet.writeUInt32BE(bytes.length, at));
  return at + 4 + bytes.length;
}
