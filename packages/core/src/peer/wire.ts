/*
 * The messages of a pipe as bytes (docs/reference/formats/pipe.md): a header of 8 bytes, then as many bytes as it says.
 *
 *   type (1 byte) · 0 (1 byte) · disk (2 bytes, big-endian; 0 if the message is not about a disk) · length (4 bytes, big-endian)
 */

/** The types of messages, by their first byte. */
const MESSAGE_TYPES = { control: 1, data: 2, credit: 3, alive: 4, working: 5 } as const;

const HEADER_BYTES = 8;
/** Maximum size of a dump's data in one message. */
export const MAX_DATA_BYTES: number = 1024 * 1024;
/** Maximum size of a control message. */
export const MAX_CONTROL_BYTES: number = 256 * 1024;
const CREDIT_BYTES = 4;

export type MessageType = keyof typeof MESSAGE_TYPES;

/** What arrived: a complete control message, a credit, a sign of life, or a part of a data message. */
export type Incoming =
  | { readonly type: 'control'; readonly text: string }
  | { readonly type: 'data'; readonly disk: number; readonly bytes: Uint8Array }
  | { readonly type: 'credit'; readonly disk: number; readonly bytes: number }
  | { readonly type: 'alive' | 'working' };

/** What the peer sent violates the protocol. The link adds the peer's name. */
export class WireProblem extends Error {
  override readonly name = 'WireProblem';
}

export function header(type: MessageType, disk: number, length: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt8(MESSAGE_TYPES[type], 0);
  bytes.writeUInt16BE(disk, 2);
  bytes.writeUInt32BE(length, 4);
  return bytes;
}

export function creditMessage(disk: number, bytes: number): Buffer {
  const message = Buffer.concat([header('credit', disk, CREDIT_BYTES), Buffer.alloc(CREDIT_BYTES)]);
  message.writeUInt32BE(bytes, HEADER_BYTES);
  return message;
}

const LIMITS: Readonly<Record<MessageType, { readonly min: number; readonly max: number }>> = {
  control: { min: 2, max: MAX_CONTROL_BYTES },
  data: { min: 1, max: MAX_DATA_BYTES },
  credit: { min: CREDIT_BYTES, max: CREDIT_BYTES },
  alive: { min: 0, max: 0 },
  working: { min: 0, max: 0 },
};

interface Header {
  readonly type: MessageType;
  readonly disk: number;
  readonly length: number;
}

/**
 * Splits what arrives into messages, no matter how it was divided into chunks. Keeps at most one control message; the data of a dump is
 * passed on as it arrives.
 */
export class MessageSplitter {
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true });
  /** The received part of a header, or of a message that is passed on as a whole. */
  #held: Uint8Array = new Uint8Array(0);
  #message: Header | undefined;
  /** How many bytes of the message are missing. */
  #missing = 0;

  /** @throws WireProblem */
  *push(chunk: Uint8Array): Generator<Incoming, void, undefined> {
    let rest = chunk;
    for (;;) {
      if (this.#message === undefined) {
        const start = this.#gather(rest, HEADER_BYTES);
        rest = rest.subarray(start.taken);
        if (start.complete === undefined) return;
        this.#message = parseHeader(start.complete);
        this.#missing = this.#message.length;
      }
      const { type, disk, length } = this.#message;
      if (type === 'data') {
        const bytes = rest.subarray(0, this.#missing);
        rest = rest.subarray(bytes.length);
        this.#missing -= bytes.length;
        if (this.#missing === 0) this.#message = undefined;
        if (bytes.length > 0) yield { type, disk, bytes };
        if (this.#message !== undefined) return;
        continue;
      }
      const body = this.#gather(rest, length);
      rest = rest.subarray(body.taken);
      if (body.complete === undefined) return;
      this.#message = undefined;
      yield this.#parse(type, disk, body.complete);
    }
  }

  /** Bytes that are kept until more arrives. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** Adds to what is held until it has `bytes` bytes. */
  #gather(chunk: Uint8Array, bytes: number): { readonly taken: number; readonly complete: Uint8Array | undefined } {
    const part = chunk.subarray(0, bytes - this.#held.length);
    const all = this.#held.length === 0 ? part : Buffer.concat([this.#held, part]);
    const isComplete = all.length === bytes;
    // Copied, so that the rest of the chunk can be freed.
    this.#held = isComplete ? new Uint8Array(0) : Uint8Array.from(all);
    return { taken: part.length, complete: isComplete ? all : undefined };
  }

  #parse(type: Exclude<MessageType, 'data'>, disk: number, body: Uint8Array): Incoming {
    if (type === 'alive' || type === 'working') return { type };
    if (type === 'credit') {
      const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength).readUInt32BE(0);
      return { type, disk, bytes };
    }
    try {
      return { type, text: this.#utf8.decode(body) };
    } catch (error) {
      throw new WireProblem('it sent a message that is not UTF-8', { cause: error });
    }
  }
}

function parseHeader(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const code = view.getUint8(0);
  const type = TYPES.get(code);
  const length = view.getUint32(4);
  if (type === undefined || view.getUint8(1) !== 0) throw new WireProblem(`it sent a message of an unknown type (${code})`);
  const { min, max } = LIMITS[type];
  if (length < min || length > max) throw new WireProblem(`it sent a ${type} message of ${length} bytes`);
  return { type, disk: view.getUint16(2), length };
}

const TYPES: ReadonlyMap<number, MessageType> = new Map([
  [MESSAGE_TYPES.control, 'control'],
  [MESSAGE_TYPES.data, 'data'],
  [MESSAGE_TYPES.credit, 'credit'],
  [MESSAGE_TYPES.alive, 'alive'],
  [MESSAGE_TYPES.working, 'working'],
]);
