import { Buffer } from 'node:buffer';
import type { ChannelEnd, SshChannel } from '../engine/channel.ts';
import { explainSftpEnd, notSftpError } from '../engine/explain-end.ts';
import { PeerError } from '../engine/peer-error.ts';
import { TextTail } from '../engine/text-tail.ts';
import { PacketSplitter } from './packet-splitter.ts';
import { PACKET, SFTP_VERSION } from './protocol.ts';
import type { Reply } from './reply.ts';
import { readReply } from './reply.ts';
import type { Stall } from './stall-watch.ts';
import { StallWatch } from './stall-watch.ts';
import { SftpProtocolError, WireReader, encodePacket } from './wire.ts';
import type { WireField } from './wire.ts';
import { failureText } from '@gantry/transport';

/** Enough to show what the peer sent instead of SFTP. */
const MAX_START_CHARACTERS = 1024;

/** How long the rest of a line may take that came instead of SFTP, ms. */
const LINE_PATIENCE_MS = 2000;

/** The offset of the id in a packet: after its length and type. */
const ID_AT = 5;

interface Outstanding {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
  /** The memory for the data of a READ. */
  readonly target: Uint8Array | undefined;
}

/**
 * SFTP over one channel: many requests outstanding at a time, answers in any order. A failed connection, an invalid answer, or too long a
 * time without a byte end the session; then every outstanding and every later request fails.
 */
export class SftpSession implements AsyncDisposable {
  readonly #channel: SshChannel;
  readonly #stall: StallWatch;
  readonly #splitter: PacketSplitter;
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #version = Promise.withResolvers<WireReader>();
  #isGreeted = false;
  /** The first bytes from the peer: they may be text. */
  readonly #start = new TextTail(MAX_START_CHARACTERS);
  #failure: Error | undefined;
  /** Set while the rest of a line is awaited that came instead of SFTP. */
  #lineTimer: NodeJS.Timeout | undefined;
  #nextId = 0;

  /** @param stallMs how long no byte may pass in either direction while requests are outstanding */
  constructor(channel: SshChannel, { stallMs }: { readonly stallMs: number }) {
    this.#channel = channel;
    this.#stall = new StallWatch(stallMs, (stall) => this.#fail(stalled(stall, stallMs)));
    this.#splitter = new PacketSplitter({
      packet: (type, fields) => this.#takePacket(type, fields),
      dataTarget: (id, length) => this.#dataTarget(id, length),
      dataEnd: (id, length) => this.#answer(id, { kind: 'data', length }),
    });
    this.#version.promise.catch(() => undefined);
    channel.output.on('data', (chunk: Uint8Array) => this.#takeChunk(chunk));
    channel.input.on('error', () => undefined);
    channel.output.on('error', () => undefined);
    void channel.ended.then((end) => this.#fail(this.#explainEnd(end)));
  }

  /** Why this session cannot be used any more; undefined if it can. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Exchanges versions. @returns the server's extensions by name */
  async start(): Promise<ReadonlyMap<string, string>> {
    this.#stall.begin();
    try {
      this.#write(encodePacket(PACKET.init, [SFTP_VERSION]));
      const fields = await this.#version.promise;
      const version = fields.uint32();
      if (version !== SFTP_VERSION)
        throw new PeerError('unsupported', { message: `the peer uses version ${version} of SFTP, not ${SFTP_VERSION}` });
      const extensions = new Map<string, string>();
      while (fields.remaining > 0) extensions.set(fields.text(), fields.text());
      return extensions;
    } catch (error) {
      const failure = asPeerError(error);
      this.#fail(failure);
      throw failure;
    } finally {
      this.#stall.end();
    }
  }

  /**
   * Sends a request and returns its answer.
   * @param target the memory for the data of a READ: it must not be used before the answer or the session's failure
   * @throws SftpStatusError if the server refuses; PeerError if the session fails
   */
  request(type: number, fields: readonly WireField[], target?: Uint8Array): Promise<Reply> {
    return this.send(encodePacket(type, [0, ...fields]), { target });
  }

  /**
   * Sends a packet that is complete except for its id.
   * @param options.onWritten called when the packet's memory may be reused
   */
  send(
    packet: Buffer,
    options: { readonly target?: Uint8Array | undefined; readonly onWritten?: (() => void) | undefined } = {},
  ): Promise<Reply> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#takeId();
    packet.writeUInt32BE(id, ID_AT);
    return new Promise((resolve, reject) => {
      this.#outstanding.set(id, { resolve, reject, target: options.target });
      this.#stall.begin();
      this.#write(packet, options.onWritten);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail(new PeerError('unavailable', { message: 'the connection was closed on this side' }));
    await this.#channel[Symbol.asyncDispose]();
  }

  #takeId(): number {
    do this.#nextId = (this.#nextId + 1) >>> 0;
    while (this.#outstanding.has(this.#nextId));
    return this.#nextId;
  }

  #write(packet: Buffer, onWritten?: () => void): void {
    this.#channel.input.write(packet, (error) => {
      // The end of the channel, which follows, has a better error than a broken pipe.
      if (error !== null && error !== undefined) return;
      this.#stall.progress();
      onWritten?.();
    });
  }

  #takeChunk(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    this.#stall.progress();
    if (!this.#isGreeted) this.#start.add(Buffer.from(chunk));
    if (this.#lineTimer !== undefined) return this.#awaitLine();
    try {
      this.#splitter.push(chunk);
      this.#channel.release(chunk);
    } catch (error) {
      if (this.#isGreeted) this.#fail(asPeerError(error));
      else this.#awaitLine();
    }
  }

  /** Fails with the text that came instead of SFTP, but not before its line is complete: a part of it may not say what prints it. */
  #awaitLine(): void {
    this.#lineTimer ??= setTimeout(() => this.#fail(notSftpError(this.#text)), LINE_PATIENCE_MS);
    if (this.#start.text.includes('\n')) this.#fail(notSftpError(this.#text));
  }

  /** The first bytes as text. SFTP may follow it, whose packets start with a null byte. */
  get #text(): string {
    const { text } = this.#start;
    return text.split('\0', 1)[0] || text;
  }

  #takePacket(type: number, body: Buffer): void {
    const fields = new WireReader(body);
    if (type === PACKET.version) {
      this.#isGreeted = true;
      return this.#version.resolve(fields);
    }
    const id = fields.uint32();
    const reply = readReply(type, fields);
    if (reply instanceof Error) this.#take(id).reject(reply);
    else this.#answer(id, reply);
  }

  #dataTarget(id: number, length: number): Uint8Array | undefined {
    const target = this.#outstanding.get(id)?.target;
    if (target === undefined || length > target.length)
      throw new SftpProtocolError(`the peer sent ${length} bytes that were not requested`);
    return target;
  }

  #answer(id: number, reply: Reply): void {
    this.#take(id).resolve(reply);
  }

  #take(id: number): Outstanding {
    const outstanding = this.#outstanding.get(id);
    if (outstanding === undefined) throw new SftpProtocolError(`the peer answered request ${id}, which was never made`);
    const [oldest] = this.#outstanding.keys();
    this.#outstanding.delete(id);
    this.#stall.end();
    // Answers may come in any order, but each must come.
    if (id === oldest) this.#stall.oldestAnswered();
    else this.#stall.laterAnswered();
    return outstanding;
  }

  #explainEnd(end: ChannelEnd): PeerError {
    const isText = !this.#isGreeted && end.error === undefined && this.#start.text !== '';
    return isText ? notSftpError(this.#text) : explainSftpEnd(end, this.#isGreeted);
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    clearTimeout(this.#lineTimer);
    this.#stall[Symbol.dispose]();
    this.#version.reject(error);
    for (const { reject } of this.#outstanding.values()) reject(error);
    this.#outstanding.clear();
    // After a stall or an invalid answer, the connection is still open.
    void this.#channel[Symbol.asyncDispose]();
  }
}

function stalled(stall: Stall, stallMs: number): PeerError {
  const what = stall === 'silence' ? 'no byte passed' : 'the peer left a request unanswered, while it answered later ones,';
  return new PeerError('unavailable', {
    message: `${what} for ${stallMs / 1000} s, so the connection was closed`,
    hint: "Check the network and the peer's disks; ?stallTimeout=SECONDS in the address allows more time.",
  });
}

function asPeerError(error: unknown): PeerError {
  if (error instanceof PeerError) return error;
  const message = failureText(error);
  return new PeerError('unsupported', { message, hint: 'Check what the account runs there: it must be an SFTP server.', cause: error });
}
