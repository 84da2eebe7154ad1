import type { Socket } from 'node:net';

import { NbdError } from '../errors.ts';
import type { OptionHeader } from '../wire/options.ts';
import {
  decodeContextQueries,
  decodeInfoRequest,
  decodeOptionHeader,
  encodeBlockSizes,
  encodeContext,
  encodeDescription,
  encodeExportInfo,
  encodeExportSize,
  encodeListedExport,
  encodeOptionReply,
} from '../wire/options.ts';
import {
  ALLOCATION_CONTEXT,
  DEFAULT_MAX_PAYLOAD_BYTES,
  HANDSHAKE,
  INFO,
  INIT_MAGIC,
  OPTION,
  OPTION_HEADER_BYTES,
  OPTION_MAGIC,
  REPLY,
  TRANSMISSION,
} from '../wire/protocol.ts';
import { decodeText } from '../wire/text.ts';
import type { ServedExport } from './served-export.ts';
import type { SocketReader } from './socket-reader.ts';

/** What a client has agreed on when the transmission phase begins. */
export interface Choice {
  readonly served: ServedExport;
  readonly structured: boolean;
  /** Whether `base:allocation` was selected. */
  readonly allocation: boolean;
}

/** A client that sends longer data is up to no good: two strings and some numbers are all that any option needs. */
const MAX_OPTION_BYTES = 65_536;
/** The number by which replies name `base:allocation`. */
export const ALLOCATION_ID = 1;

const CLIENT_FLAGS = HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES;

/** "Handshake", as a server: from the greeting until the client has chosen, or has left. */
export class ServerHandshake {
  readonly #socket: Socket;
  readonly #reader: SocketReader;
  readonly #exports: readonly ServedExport[];
  #structured = false;
  /** For which export `base:allocation` is selected. */
  #allocationOf: string | undefined;

  constructor(socket: Socket, reader: SocketReader, exports: readonly ServedExport[]) {
    this.#socket = socket;
    this.#reader = reader;
    this.#exports = exports;
  }

  /** @returns undefined where the client has left, or must be left */
  async run(): Promise<Choice | undefined> {
    this.#socket.write(greeting());
    const flags = (await this.#reader.read(4))?.readUInt32BE();
    // "the server MUST drop the TCP connection if the client sets an unknown flag" ("Client flags")
    if (flags === undefined || (flags & ~CLIENT_FLAGS) !== 0) return undefined;
    for (;;) {
      const bytes = await this.#reader.read(OPTION_HEADER_BYTES);
      if (bytes === undefined) return undefined;
      const header = decodeOptionHeader(bytes);
      if (header.length > MAX_OPTION_BYTES) return undefined;
      const data = await this.#reader.read(header.length);
      if (data === undefined) return undefined;
      if (header.option === OPTION.EXPORT_NAME) return this.#chooseByName(data, (flags & HANDSHAKE.NO_ZEROES) !== 0);
      const chosen = this.#answer(header, data);
      if (header.option === OPTION.ABORT || chosen !== undefined) return chosen;
    }
  }

  #chooseByName(name: Buffer, noZeroes: boolean): Choice | undefined {
    const served = this.#find(decodeText(name));
    if (served === undefined) return undefined;
    this.#socket.write(encodeExportSize({ size: served.size, flags: this.#flags() }));
    if (!noZeroes) this.#socket.write(Buffer.alloc(124));
    return this.#choice(served);
  }

  #answer({ option }: OptionHeader, data: Buffer): Choice | undefined {
    try {
      switch (option) {
        case OPTION.ABORT:
          this.#reply(option, REPLY.ACK);
          return undefined;
        case OPTION.LIST:
          this.#list(data);
          return undefined;
        case OPTION.STRUCTURED_REPLY:
          this.#structured ||= data.length === 0;
          this.#reply(option, data.length === 0 ? REPLY.ACK : REPLY.ERR_INVALID);
          return undefined;
        case OPTION.LIST_META_CONTEXT:
        case OPTION.SET_META_CONTEXT:
          this.#contexts(option, data);
          return undefined;
        case OPTION.INFO:
        case OPTION.GO:
          return this.#describe(option, data);
        default:
          this.#reply(option, REPLY.ERR_UNSUP);
          return undefined;
      }
    } catch (error) {
      if (!(error instanceof NbdError)) throw error;
      this.#reply(option, REPLY.ERR_INVALID, Buffer.from(error.message));
      return undefined;
    }
  }

  #list(data: Buffer): void {
    if (data.length > 0) {
      this.#reply(OPTION.LIST, REPLY.ERR_INVALID);
      return;
    }
    for (const { name, description = '' } of this.#exports) {
      this.#reply(OPTION.LIST, REPLY.SERVER, encodeListedExport({ name, description }));
    }
    this.#reply(OPTION.LIST, REPLY.ACK);
  }

  #contexts(option: number, data: Buffer): void {
    // "including when this command fails" ("Option types", NBD_OPT_SET_META_CONTEXT)
    if (option === OPTION.SET_META_CONTEXT) this.#allocationOf = undefined;
    const { name, queries } = decodeContextQueries(data);
    if (!this.#structured) {
      this.#reply(option, REPLY.ERR_INVALID, Buffer.from('structured replies must be agreed on first'));
      return;
    }
    const served = this.#find(name);
    if (served === undefined) {
      this.#reply(option, REPLY.ERR_UNKNOWN);
      return;
    }
    const wildcard = option === OPTION.LIST_META_CONTEXT && (queries.length === 0 || queries.includes('base:'));
    if (wildcard || queries.includes(ALLOCATION_CONTEXT)) {
      if (option === OPTION.SET_META_CONTEXT) this.#allocationOf = served.name;
      this.#reply(option, REPLY.META_CONTEXT, encodeContext(ALLOCATION_ID, ALLOCATION_CONTEXT));
    }
    this.#reply(option, REPLY.ACK);
  }

  #describe(option: number, data: Buffer): Choice | undefined {
    const { name, wanted } = decodeInfoRequest(data);
    const served = this.#find(name);
    if (served === undefined) {
      this.#reply(option, REPLY.ERR_UNKNOWN);
      return undefined;
    }
    const { size, description } = served;
    this.#reply(option, REPLY.INFO, encodeExportInfo({ size, flags: this.#flags() }));
    if (wanted.includes(INFO.BLOCK_SIZE))
      this.#reply(option, REPLY.INFO, encodeBlockSizes({ minimum: 1, preferred: 4096, maximum: DEFAULT_MAX_PAYLOAD_BYTES }));
    if (description !== undefined && wanted.includes(INFO.DESCRIPTION)) this.#reply(option, REPLY.INFO, encodeDescription(description));
    this.#reply(option, REPLY.ACK);
    return option === OPTION.GO ? this.#choice(served) : undefined;
  }

  #choice(served: ServedExport): Choice {
    return { served, structured: this.#structured, allocation: this.#allocationOf === served.name };
  }

  /** The empty name is that of the only export, where there is one alone. */
  #find(name: string): ServedExport | undefined {
    const [first, second] = this.#exports;
    const only = second === undefined ? first : undefined;
    return this.#exports.find((served) => served.name === name) ?? (name === '' ? only : undefined);
  }

  /** "Transmission flags": nothing is ever written, so that all connections see the same. */
  #flags(): number {
    const { HAS_FLAGS, READ_ONLY, CAN_MULTI_CONN, SEND_DF } = TRANSMISSION;
    return HAS_FLAGS | READ_ONLY | CAN_MULTI_CONN | (this.#structured ? SEND_DF : 0);
  }

  #reply(option: number, type: number, data?: Uint8Array): void {
    this.#socket.write(encodeOptionReply(option, type, data));
  }
}

function greeting(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeBigUInt64BE(INIT_MAGIC, 0);
  bytes.writeBigUInt64BE(OPTION_MAGIC, 8);
  bytes.writeUInt16BE(HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES, 16);
  return bytes;
}
