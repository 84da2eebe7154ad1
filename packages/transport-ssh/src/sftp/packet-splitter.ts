import { Buffer } from 'node:buffer';
import { PACKET } from './protocol.ts';
import { SftpProtocolError } from './wire.ts';

/** Maximum size of an accepted packet: OpenSSH sends at most 256 KiB, and other servers up to a thousand names of a directory at once. */
const MAX_PACKET_BYTES = 1024 * 1024;

const LENGTH_BYTES = 4;
/** Length and type: enough to identify a packet. */
const HEAD_BYTES = 5;
/** Length, type, id and the length of the data. */
const DATA_HEAD_BYTES = 13;

/** Receives the packets of a stream. */
export interface PacketHandler {
  /** Takes a complete packet other than DATA: its fields after the type. The memory belongs to the handler. */
  packet(type: number, fields: Buffer): void;
  /** The memory for `length` bytes of data that answer request `id`, or undefined to discard them. */
  dataTarget(id: number, length: number): Uint8Array | undefined;
  /** Called when all data that answers request `id` is in its target. */
  dataEnd(id: number, length: number): void;
}

interface IncomingData {
  readonly id: number;
  readonly length: number;
  readonly target: Uint8Array | undefined;
  done: number;
}

/**
 * Splits a stream into packets. Data, which is most of the stream when files are read, is copied once: from the chunk to the reader's
 * memory.
 */
export class PacketSplitter {
  readonly #handler: PacketHandler;
  readonly #head = Buffer.alloc(DATA_HEAD_BYTES);
  #headBytes = 0;
  /** An incomplete packet other than DATA. */
  #body: Buffer | undefined;
  #bodyBytes = 0;
  /** The DATA packet that is being received. */
  #data: IncomingData | undefined;

  constructor(handler: PacketHandler) {
    this.#handler = handler;
  }

  /** @throws SftpProtocolError if this cannot be SFTP */
  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#data !== undefined) at = this.#takeData(chunk, at, this.#data);
      else if (this.#body !== undefined) at = this.#takeBody(chunk, at, this.#body);
      else at = this.#takeHead(chunk, at);
    }
  }

  #takeHead(chunk: Uint8Array, start: number): number {
    const wanted = this.#headBytes < HEAD_BYTES ? HEAD_BYTES : DATA_HEAD_BYTES;
    const end = Math.min(chunk.length, start + wanted - this.#headBytes);
    this.#head.set(chunk.subarray(start, end), this.#headBytes);
    this.#headBytes += end - start;
    if (this.#headBytes === wanted) this.#parseHead();
    return end;
  }

  #parseHead(): void {
    const length = this.#head.readUInt32BE(0);
    if (length === 0 || length > MAX_PACKET_BYTES) throw this.#notSftp();
    const type = this.#head.readUInt8(LENGTH_BYTES);
    if (type !== PACKET.data) this.#beginBody(type, length);
    else if (this.#headBytes === DATA_HEAD_BYTES) this.#beginData(length);
  }

  /** The type is the first of the `length` bytes. */
  #beginBody(type: number, length: number): void {
    this.#headBytes = 0;
    this.#body = Buffer.allocUnsafe(length);
    this.#body[0] = type;
    this.#bodyBytes = 1;
    if (length === 1) this.#endBody(this.#body);
  }

  #beginData(length: number): void {
    const id = this.#head.readUInt32BE(HEAD_BYTES);
    const dataBytes = this.#head.readUInt32BE(HEAD_BYTES + 4);
    // Later versions of the protocol may have a flag after the data; version 3 has nothing there.
    if (length !== DATA_HEAD_BYTES - LENGTH_BYTES + dataBytes) throw new SftpProtocolError('the peer sent a DATA packet of wrong length');
    this.#headBytes = 0;
    this.#data = { id, length: dataBytes, target: this.#handler.dataTarget(id, dataBytes), done: 0 };
    if (dataBytes === 0) this.#endData(this.#data);
  }

  #takeBody(chunk: Uint8Array, start: number, body: Buffer): number {
    const end = Math.min(chunk.length, start + body.length - this.#bodyBytes);
    body.set(chunk.subarray(start, end), this.#bodyBytes);
    this.#bodyBytes += end - start;
    if (this.#bodyBytes === body.length) this.#endBody(body);
    return end;
  }

  #endBody(body: Buffer): void {
    this.#body = undefined;
    this.#handler.packet(body.readUInt8(0), body.subarray(1));
  }

  #takeData(chunk: Uint8Array, start: number, data: IncomingData): number {
    const end = Math.min(chunk.length, start + data.length - data.done);
    data.target?.set(chunk.subarray(start, end), data.done);
    data.done += end - start;
    if (data.done === data.length) this.#endData(data);
    return end;
  }

  #endData({ id, length }: IncomingData): void {
    this.#data = undefined;
    this.#handler.dataEnd(id, length);
  }

  /** The most common cause is text instead of SFTP: show it. */
  #notSftp(): SftpProtocolError {
    const start = this.#head.subarray(0, this.#headBytes).toString('latin1');
    return new SftpProtocolError(`the peer does not speak SFTP: it sent ${JSON.stringify(start)}`);
  }
}
