import { Buffer } from 'node:buffer';
import { PACKET } from './protocol.ts';
import { SftpProtocolError } from './wire.ts';

/** The largest packet that is taken, bytes: OpenSSH sends 256 KiB at most, and names of a directory may come a thousand at once. */
const MAX_PACKET_BYTES = 1024 * 1024;

const LENGTH_BYTES = 4;
/** Length and type: enough to tell what it is. */
const HEAD_BYTES = 5;
/** Length, type, id, and how much data follows. */
const DATA_HEAD_BYTES = 13;

/** Who takes the packets of a stream. */
export interface PacketTaker {
  /** A whole packet but for DATA: its fields from behind the type on. The memory is the taker's. */
  packet(type: number, fields: Buffer): void;
  /** Where `length` bytes of data that answer request `id` go, or undefined to let them fall. */
  dataTarget(id: number, length: number): Uint8Array | undefined;
  /** All the data that answers request `id` is in its target. */
  dataEnd(id: number, length: number): void;
}

interface ComingData {
  readonly id: number;
  readonly length: number;
  readonly target: Uint8Array | undefined;
  done: number;
}

/**
 * Cuts a stream into packets. Data, which is nearly all of it when files are read, is copied once: from the chunk that arrived to
 * where its reader wants it.
 */
export class PacketSplitter {
  readonly #taker: PacketTaker;
  readonly #head = Buffer.alloc(DATA_HEAD_BYTES);
  #headBytes = 0;
  /** A packet that is no DATA, being gathered. */
  #body: Buffer | undefined;
  #bodyBytes = 0;
  /** Data that is still to come, and where it goes. */
  #data: ComingData | undefined;

  constructor(taker: PacketTaker) {
    this.#taker = taker;
  }

  /** @throws SftpProtocolError when this cannot be SFTP */
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
    if (this.#headBytes === wanted) this.#lookAtHead();
    return end;
  }

  #lookAtHead(): void {
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
    // Later versions of the protocol may say behind the data that it was the last; version 3 has nothing there.
    if (length !== DATA_HEAD_BYTES - LENGTH_BYTES + dataBytes)
      throw new SftpProtocolError('a DATA packet of the peer has the wrong length');
    this.#headBytes = 0;
    this.#data = { id, length: dataBytes, target: this.#taker.dataTarget(id, dataBytes), done: 0 };
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
    this.#taker.packet(body.readUInt8(0), body.subarray(1));
  }

  #takeData(chunk: Uint8Array, start: number, data: ComingData): number {
    const end = Math.min(chunk.length, start + data.length - data.done);
    data.target?.set(chunk.subarray(start, end), data.done);
    data.done += end - start;
    if (data.done === data.length) this.#endData(data);
    return end;
  }

  #endData({ id, length }: ComingData): void {
    this.#data = undefined;
    this.#taker.dataEnd(id, length);
  }

  /** The commonest cause is text where SFTP should begin: show it. */
  #notSftp(): SftpProtocolError {
    const said = this.#head.subarray(0, this.#headBytes).toString('latin1');
    return new SftpProtocolError(`the peer does not speak SFTP: it began with ${JSON.stringify(said)}`);
  }
}
