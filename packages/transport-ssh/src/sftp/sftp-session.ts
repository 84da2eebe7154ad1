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

/** Enough to show what it is, characters. */
const MAX_BEGINNING_CHARACTERS = 1024;

/** Where the id stands in a packet: behind its length and type. */
const ID_AT = 5;

interface Outstanding {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
  /** Where the data goes that a READ asks for. */
  readonly target: Uint8Array | undefined;
}

/**
 * SFTP over one channel: many requests outstanding at once, answers in any order. Fails as a whole: with the connection, with an
 * answer that is no SFTP, or when no byte passes for too long; then every outstanding request, and every later one, fails with it.
 */
export class SftpSession implements AsyncDisposable {
  readonly #channel: SshChannel;
  readonly #stall: StallWatch;
  readonly #splitter: PacketSplitter;
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #version = Promise.withResolvers<WireReader>();
  #isGreeted = false;
  /** What came before SFTP began: it may be text. */
  readonly #beginning = new TextTail(MAX_BEGINNING_CHARACTERS);
  #failure: Error | undefined;
  #nextId = 0;

  /** @param stallMs how long outstanding requests may see no byte pass, either way */
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

  /** Why this session is of no more use; undefined while it is. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Begins: tells the version, and gives the extensions that the server has, by name. */
  async start(): Promise<ReadonlyMap<string, string>> {
    this.#stall.begin();
    try {
      this.#write(encodePacket(PACKET.init, [SFTP_VERSION]));
      const fields = await this.#version.promise;
      const version = fields.uint32();
      if (version !== SFTP_VERSION)
        throw new PeerError('unsupported', { message: `the peer speaks version ${version} of SFTP, not ${SFTP_VERSION}` });
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
   * Sends a request and gives its answer.
   * @param target where the data of a READ goes: not to be touched until the answer, or the session's failure
   * @throws SftpStatusError when the server refuses; PeerError when the session fails
   */
  request(type: number, fields: readonly WireField[], target?: Uint8Array): Promise<Reply> {
    return this.send(encodePacket(type, [0, ...fields]), { target });
  }

  /**
   * Sends a packet that is ready but for its id.
   * @param options.onWritten called when the packet's memory may be used again
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
      // A broken pipe says less than what the channel says when it ends, which follows.
      if (error !== null && error !== undefined) return;
      this.#stall.progress();
      onWritten?.();
    });
  }

  #takeChunk(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    this.#stall.progress();
    if (!this.#isGreeted) this.#beginning.add(Buffer.from(chunk));
    try {
      this.#splitter.push(chunk);
      this.#channel.release(chunk);
    } catch (error) {
      this.#fail(this.#isGreeted ? asPeerError(error) : notSftpError(this.#beginning.text));
    }
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
    if (target === undefined || length > target.length) throw new SftpProtocolError(`the peer sent ${length} bytes that nobody asked for`);
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
    // Answers may come in any order, but each has to come.
    if (id === oldest) this.#stall.inTurn();
    else this.#stall.passOver();
    return outstanding;
  }

  #explainEnd(end: ChannelEnd): PeerError {
    const isText = !this.#isGreeted && end.error === undefined && this.#beginning.text !== '';
    return isText ? notSftpError(this.#beginning.text) : explainSftpEnd(end, this.#isGreeted);
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#stall[Symbol.dispose]();
    this.#version.reject(error);
    for (const { reject } of this.#outstanding.values()) reject(error);
    this.#outstanding.clear();
    // A connection that failed here (stalled, garbage) is still open there.
    void this.#channel[Symbol.asyncDispose]();
  }
}

function stalled(stall: Stall, stallMs: number): PeerError {
  const what = stall === 'silence' ? 'no byte passed' : 'the peer left a request unanswered, while it answered later ones,';
  return new PeerError('unavailable', {
    message: `${what} for ${stallMs / 1000} s, and the connection was given up`,
    hint: "Look at the network and at the peer's disks; ?stallTimeout=SECONDS in the address allows more.",
  });
}

function asPeerError(error: unknown): PeerError {
  if (error instanceof PeerError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new PeerError('unsupported', { message, hint: 'Look at what the account runs there: it has to be an SFTP server.', cause: error });
}
