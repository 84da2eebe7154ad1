import { NbdError, violation } from '../errors.ts';
import type { ChunkHeader, Request, SimpleReply } from '../wire/messages.ts';
import { decodeReply, encodeRequest } from '../wire/messages.ts';
import { COMMAND, SIMPLE_REPLY_BYTES } from '../wire/protocol.ts';
import type { OpenSocket } from './open-socket.ts';
import { Slots } from '../slots.ts';
import type { ReadTransaction, StatusTransaction } from './transaction.ts';

type AnyTransaction = ReadTransaction | StatusTransaction;

interface InFlight {
  readonly transaction: AnyTransaction;
  /** {@link performance.now} at which the reply must be complete. */
  readonly deadline: number;
}

export interface TransmissionOptions {
  readonly structured: boolean;
  readonly maxInFlight: number;
  readonly timeoutMs: number;
}

/** How long a server may take to close the connection after it was asked to, ms. */
const GOODBYE_MS = 1000;

/** "Transmission": a bounded number of requests at once, answered in any order. */
export class Transmission {
  readonly #open: OpenSocket;
  readonly #options: TransmissionOptions;
  readonly #slots: Slots;
  /** In the order of their deadlines. */
  readonly #inFlight = new Map<bigint, InFlight>();
  readonly #ended: Promise<void>;
  #lastCookie = 0n;
  #timer: NodeJS.Timeout | undefined;
  #failure: unknown;
  #isFailed = false;
  #isClosing = false;

  constructor(open: OpenSocket, options: TransmissionOptions) {
    this.#open = open;
    this.#options = options;
    this.#slots = new Slots(options.maxInFlight);
    this.#ended = this.#readReplies().catch((error: unknown) => this.#fail(error));
  }

  /**
   * Sends a request and waits for its reply. An abort while the reply is due ends the connection: what the server still sends
   * would go into memory that is the caller's again.
   * @throws NbdError; the signal's reason
   */
  async run(command: number, transaction: AnyTransaction, signal?: AbortSignal): Promise<void> {
    await this.#slots.take(signal);
    try {
      this.#assertUsable();
      this.#send(command, transaction);
      const onAbort = (): void => {
        transaction.reject(signal?.reason);
        this.#fail(new NbdError('disconnected', 'the NBD connection was ended by the abort of another call', { cause: signal?.reason }));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        await transaction.result;
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
    } finally {
      this.#slots.give();
    }
  }

  /** Ends the connection: with a goodbye where nothing is in flight. */
  async close(): Promise<void> {
    const { socket } = this.#open;
    const isIdle = !this.#isFailed && !this.#isClosing && this.#inFlight.size === 0;
    this.#isClosing = true;
    if (isIdle) {
      const timer = setTimeout(() => socket.destroy(), GOODBYE_MS);
      socket.end(encodeRequest({ flags: 0, command: COMMAND.DISC, cookie: 0n, offset: 0, length: 0 }));
      await this.#ended;
      clearTimeout(timer);
    }
    this.#fail(new NbdError('disconnected', 'the NBD connection is closed'));
    await this.#ended;
  }

  #assertUsable(): void {
    if (this.#isFailed) throw new NbdError('disconnected', 'the NBD connection has ended before', { cause: this.#failure });
    if (this.#isClosing) throw new NbdError('disconnected', 'the NBD connection is closed');
  }

  #send(command: number, transaction: AnyTransaction): void {
    this.#lastCookie += 1n;
    const { offset, length } = transaction;
    const request: Request = { flags: 0, command, cookie: this.#lastCookie, offset, length };
    this.#inFlight.set(request.cookie, { transaction, deadline: performance.now() + this.#options.timeoutMs });
    this.#timer ??= setTimeout(() => this.#watch(), this.#options.timeoutMs);
    this.#open.socket.write(encodeRequest(request));
  }

  /** The oldest request is the first that can be late. */
  #watch(): void {
    this.#timer = undefined;
    const [oldest] = this.#inFlight.values();
    if (oldest === undefined) return;
    const left = oldest.deadline - performance.now();
    if (left > 0) this.#timer = setTimeout(() => this.#watch(), left);
    else this.#fail(new NbdError('timeout', `the NBD server did not answer within ${this.#options.timeoutMs} ms`));
  }

  async #readReplies(): Promise<never> {
    const { reader } = this.#open;
    const bytes = Buffer.alloc(SIMPLE_REPLY_BYTES);
    const lengthBytes = Buffer.alloc(4);
    for (;;) {
      await reader.fill(bytes);
      const reply = decodeReply(bytes);
      if (reply.type === 'simple') {
        await this.#takeSimple(reply);
        continue;
      }
      await reader.fill(lengthBytes);
      await this.#takeChunk({ ...reply, length: lengthBytes.readUInt32BE() });
    }
  }

  async #takeSimple({ cookie, errno }: SimpleReply): Promise<void> {
    if (this.#options.structured) throw violation('sent a simple reply, but structured ones were agreed on');
    await this.#find(cookie).takeSimple(errno, this.#open.reader);
    this.#inFlight.delete(cookie);
  }

  async #takeChunk(header: ChunkHeader): Promise<void> {
    if (!this.#options.structured) throw violation('sent a structured reply, which was not agreed on');
    await this.#find(header.cookie).takeChunk(header, this.#open.reader);
    if (header.done) this.#inFlight.delete(header.cookie);
  }

  #find(cookie: bigint): AnyTransaction {
    const found = this.#inFlight.get(cookie);
    if (found === undefined) throw violation(`answered a request that was not sent (cookie ${cookie})`);
    return found.transaction;
  }

  /** Nothing of what is in flight is answered any more, and nothing is written into its memory. */
  #fail(error: unknown): void {
    if (this.#isFailed) return;
    this.#isFailed = true;
    this.#failure = error;
    clearTimeout(this.#timer);
    this.#open.socket.destroy();
    this.#open.reader.fail(new NbdError('disconnected', 'the NBD connection has ended', { cause: error }));
    for (const { transaction } of this.#inFlight.values()) transaction.reject(error);
    this.#inFlight.clear();
  }
}
