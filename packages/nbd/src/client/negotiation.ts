import { NbdError, violation } from '../errors.ts';
import type { OptionReplyHeader } from '../wire/options.ts';
import { decodeOptionReplyHeader, encodeOption } from '../wire/options.ts';
import { HANDSHAKE, INIT_MAGIC, OLDSTYLE_MAGIC, OPTION, OPTION_MAGIC, OPTION_REPLY_HEADER_BYTES, REPLY } from '../wire/protocol.ts';
import { decodeMessage } from '../wire/text.ts';
import type { OpenSocket } from './open-socket.ts';

/** No server has more to say to one option; without a limit it could go on until the time-out. */
const MAX_REPLIES = 10_000;

const ERROR_BIT = 0x80000000;

interface Reply {
  readonly type: number;
  readonly data: Buffer;
}

/** "Handshake": from the greeting until an export is chosen. One option at a time. */
export class Negotiation {
  readonly #open: OpenSocket;
  readonly #noZeroes: boolean;

  private constructor(open: OpenSocket, noZeroes: boolean) {
    this.#open = open;
    this.#noZeroes = noZeroes;
  }

  /** "Newstyle negotiation". @throws NbdError `protocol`, `unsupported`, `disconnected` */
  static async begin(open: OpenSocket): Promise<Negotiation> {
    const greeting = await read(open, 16);
    const style = greeting.readBigUInt64BE(8);
    if (greeting.readBigUInt64BE(0) !== INIT_MAGIC || (style !== OPTION_MAGIC && style !== OLDSTYLE_MAGIC))
      throw new NbdError('protocol', 'the peer does not greet as an NBD server does');
    if (style === OLDSTYLE_MAGIC) throw new NbdError('unsupported', 'the NBD server speaks the oldstyle protocol alone');
    const flags = (await read(open, 2)).readUInt16BE();
    if ((flags & HANDSHAKE.FIXED_NEWSTYLE) === 0)
      throw new NbdError('unsupported', 'the NBD server does not speak the fixed newstyle protocol');
    const answer = Buffer.alloc(4);
    answer.writeUInt32BE(flags & (HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES));
    open.socket.write(answer);
    return new Negotiation(open, (flags & HANDSHAKE.NO_ZEROES) !== 0);
  }

  /**
   * Sends an option, and gives the replies before the final one.
   * @returns undefined where the server does not know the option
   * @throws NbdError `unknown-export`, `refused`, `protocol`, `disconnected`
   */
  async ask(option: number, data?: Uint8Array): Promise<readonly Reply[] | undefined> {
    this.#open.socket.write(encodeOption(option, data));
    const replies: Reply[] = [];
    for (;;) {
      const header = decodeOptionReplyHeader(await read(this.#open, OPTION_REPLY_HEADER_BYTES));
      if (header.option !== option) throw violation(`answered option ${header.option}, but ${option} was sent`);
      const reply = { type: header.type, data: await read(this.#open, header.length) };
      if (header.type === REPLY.ACK) return replies;
      if (header.type === REPLY.ERR_UNSUP) return undefined;
      if (header.type >= ERROR_BIT) throw refusal(header, reply.data);
      if (replies.push(reply) > MAX_REPLIES) throw violation(`sent more than ${MAX_REPLIES} replies to option ${option}`);
    }
  }

  /**
   * `NBD_OPT_EXPORT_NAME`, for servers that do not know `NBD_OPT_GO`. What is wrong they say by closing the connection.
   * @returns size and flags, as they were sent
   */
  async chooseByName(name: Uint8Array): Promise<Buffer> {
    this.#open.socket.write(encodeOption(OPTION.EXPORT_NAME, name));
    const answer = await read(this.#open, 10);
    if (!this.#noZeroes) await read(this.#open, 124);
    return answer;
  }

  /** "Termination of the session during option haggling": a soft disconnect. */
  abort(): void {
    this.#open.socket.write(encodeOption(OPTION.ABORT));
    this.#open.socket.destroySoon();
  }
}

async function read({ reader }: OpenSocket, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await reader.fill(bytes);
  return bytes;
}

const REFUSALS: Readonly<Record<number, string>> = {
  [REPLY.ERR_POLICY]: 'its policy forbids it',
  [REPLY.ERR_INVALID]: 'it takes the option for invalid',
  [REPLY.ERR_PLATFORM]: 'its platform does not support it',
  [REPLY.ERR_TLS_REQD]: 'it wants TLS, which is not supported here',
  [REPLY.ERR_SHUTDOWN]: 'it is shutting down',
  [REPLY.ERR_BLOCK_SIZE_REQD]: 'it wants its block sizes to be heeded',
  [REPLY.ERR_TOO_BIG]: 'the option is too big for it',
};

function refusal({ type, option }: OptionReplyHeader, data: Buffer): NbdError {
  const message = decodeMessage(data);
  const said = message === '' ? '' : `: ${message}`;
  if (type === REPLY.ERR_UNKNOWN) return new NbdError('unknown-export', `the NBD server does not have this export${said}`);
  const why = REFUSALS[type] ?? `error ${type - ERROR_BIT}`;
  return new NbdError('refused', `the NBD server refuses option ${option}: ${why}${said}`);
}
