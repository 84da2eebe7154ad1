import type { PeerChannel } from '@gantry/transport';
import { orAbort } from '@gantry/transport';
import { GREETING, GreetingReader } from './greeting.ts';
import type { Control, ControlKind, ControlOf, Failure } from './messages.ts';
import { PIPE_VERSION, parseControl } from './messages.ts';
import {
  asPeerError,
  endedError,
  failureError,
  garbageError,
  idleError,
  notGantryError,
  stalledError,
  versionError,
} from './peer-errors.ts';
import { MessageSplitter, WireProblem, creditMessage, header } from './wire.ts';

/** Handles messages that are not answers to {@link Link.expect}. Each method may throw a WireProblem for an unexpected message. */
export interface LinkListener {
  data(disk: number, bytes: Uint8Array): void;
  credit(disk: number, bytes: number): void;
  /** Returns whether it handled the message; otherwise the message is kept for {@link Link.expect}. */
  control(message: Control): boolean;
  /** Whether this side waits for the other. */
  waits(): boolean;
  /** The state of the transfer, line by line, for the error when it stalls. */
  where(): readonly string[];
}

export interface LinkOptions {
  /** Name of the other side in messages. */
  readonly peer: string;
  readonly listener: LinkListener;
  /** The other side is given up when nothing came for this time. Also determines how often a sign of life is sent. */
  readonly peerTimeoutMs: number;
  /** The same when only signs of life came while this side waits for the other; at most twice `peerTimeoutMs`. */
  readonly stallTimeoutMs?: number | undefined;
}

/** More steps than can be waiting in the protocol. */
const MAX_WAITING_STEPS = 4;
const SIGNS_PER_TIMEOUT = 4;
/** Maximum time between two signs of life: the other side may wait for one that says that this side is working. */
const SIGN_INTERVAL_MS = 1000;
const MIN_STALL_MS = 3 * SIGN_INTERVAL_MS;
/** How long to wait for the other side's reason when the channel has failed. */
const REASON_TIMEOUT_MS = 5000;

/** One side of a pipe: messages over a channel, until it is disposed or lost. The channel is not closed. */
export class Link implements Disposable {
  readonly #channel: PeerChannel;
  readonly #peer: string;
  readonly #listener: LinkListener;
  readonly #lost = new AbortController();
  readonly #waiting: Control[] = [];
  readonly #failure = Promise.withResolvers<Failure | undefined>();
  readonly #timer: NodeJS.Timeout;
  #timeoutMs: number;
  readonly #stallTimeoutMs: number;
  #changed = Promise.withResolvers<void>();
  #written: Promise<unknown> = Promise.resolve();
  #greeted = false;
  #peerVersion: string | undefined;
  /** The other side is gone, or has said that it ends. */
  #over = false;
  #receivedAt = performance.now();
  #sentAt = performance.now();
  /** When a message other than a sign of life last came or went. */
  #movedAt = performance.now();
  /** When this side last had work to do. */
  #workedAt = performance.now();
  /** The step of the other side that this side waits for. */
  #expected: ControlKind | undefined;

  constructor(channel: PeerChannel, { peer, listener, peerTimeoutMs, stallTimeoutMs = Infinity }: LinkOptions) {
    this.#channel = channel;
    this.#peer = peer;
    this.#listener = listener;
    this.#timeoutMs = peerTimeoutMs;
    this.#stallTimeoutMs = Math.max(stallTimeoutMs, MIN_STALL_MS);
    this.#timer = setInterval(() => this.#watch(), Math.min(SIGN_INTERVAL_MS, peerTimeoutMs / SIGNS_PER_TIMEOUT));
    this.#write([Buffer.from(GREETING)]).catch(() => undefined);
    void this.#read();
  }

  /** Aborted when the link has failed or was disposed; the reason is a GantryError. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** The version of Gantry there, as it says; undefined before its greeting. */
  get peerVersion(): string | undefined {
    return this.#peerVersion;
  }

  set peerTimeoutMs(ms: number) {
    this.#timeoutMs = ms;
  }

  async send(message: Control): Promise<void> {
    const body = Buffer.from(JSON.stringify(message));
    await this.#write([header('control', 0, body.length), body]);
  }

  /** Resolves when the bytes may be overwritten. */
  async sendData(disk: number, bytes: Uint8Array): Promise<void> {
    await this.#write([header('data', disk, bytes.length), bytes]);
    this.#movedAt = performance.now();
  }

  async sendCredit(disk: number, bytes: number): Promise<void> {
    await this.#write([creditMessage(disk, bytes)]);
  }

  /** Waits for the next step of the other side, which must be of this kind. @throws GantryError; the reason of the signal */
  async expect<Kind extends ControlKind>(kind: Kind, signal: AbortSignal): Promise<ControlOf<Kind>> {
    const either = AbortSignal.any([signal, this.lost]);
    for (;;) {
      const message = this.#waiting.shift();
      if (message === undefined) await this.#change(kind, either);
      else if (isKind(message, kind)) return message;
      else {
        this.#lose(garbageError(this.#peer, `it sent ${message.kind} instead of ${kind}`));
        this.lost.throwIfAborted();
      }
    }
  }

  async #change(expected: ControlKind, signal: AbortSignal): Promise<void> {
    this.#expected = expected;
    try {
      await orAbort(this.#changed.promise, signal);
    } finally {
      this.#expected = undefined;
    }
  }

  /** Why the other side gave up; undefined when it is gone without a reason, or sends none within the time. */
  async failureOfPeer(timeoutMs: number): Promise<Failure | undefined> {
    return await within(timeoutMs, this.#failure.promise);
  }

  /** Sends the other side the reason why this side gives up, if it is still there. Never rejects. */
  async sendFailure(failure: Omit<Failure, 'kind'>, timeoutMs: number): Promise<void> {
    if (this.#over) return;
    const body = Buffer.from(JSON.stringify({ kind: 'fail', ...failure } satisfies Failure));
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      await orAbort(this.#written, signal);
      await this.#channel.write([header('control', 0, body.length), body], { signal });
    } catch {
      // The other side then only sees the end of the channel.
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#lose(endedError(this.#peer, undefined, true));
  }

  async #write(parts: readonly Uint8Array[]): Promise<void> {
    const turn = this.#written.then(() => {
      this.lost.throwIfAborted();
      this.#sentAt = performance.now();
      return this.#channel.write(parts, { signal: this.lost });
    });
    this.#written = turn.catch(() => undefined);
    try {
      await turn;
    } catch (error) {
      // What the other side sent last, or how it ended, says more than this error.
      const timer = setTimeout(() => this.#lose(asPeerError(error, this.#peer)), REASON_TIMEOUT_MS);
      await this.#failure.promise;
      clearTimeout(timer);
      this.#lose(asPeerError(error, this.#peer));
      throw this.lost.reason;
    }
  }

  async #read(): Promise<void> {
    const greeting = new GreetingReader();
    const splitter = new MessageSplitter();
    try {
      for await (const chunk of this.#channel.input) {
        this.#receivedAt = performance.now();
        // Reading goes on: if we closed the channel, the other side might not get our reason.
        if (!this.lost.aborted) this.#receive(greeting, splitter, chunk);
      }
    } catch {
      // Handled like the end: how the other side ended says more.
    }
    this.#over = true;
    this.#lose(endedError(this.#peer, await this.#end(), this.#greeted));
  }

  #receive(greeting: GreetingReader, splitter: MessageSplitter, chunk: Uint8Array): void {
    try {
      const rest = this.#greeted ? chunk : this.#greet(greeting, chunk);
      if (rest !== undefined) this.#take(splitter, rest);
    } catch (error) {
      this.#lose(error instanceof WireProblem ? garbageError(this.#peer, error.message, error) : error);
    }
  }

  /** @returns what came after the greeting */
  #greet(reader: GreetingReader, chunk: Uint8Array): Uint8Array | undefined {
    const found = reader.push(chunk);
    if (found.kind === 'waiting') return undefined;
    if (found.kind === 'other') {
      this.#lose(notGantryError(this.#peer, found.text));
      return undefined;
    }
    if (found.protocol !== PIPE_VERSION) {
      this.#lose(versionError(this.#peer, found.protocol, found.version));
      return undefined;
    }
    this.#greeted = true;
    this.#peerVersion = found.version;
    return found.rest;
  }

  #take(splitter: MessageSplitter, chunk: Uint8Array): void {
    for (const message of splitter.push(chunk)) {
      if (message.type !== 'alive') this.#movedAt = performance.now();
      if (message.type === 'data') this.#listener.data(message.disk, message.bytes);
      else if (message.type === 'credit') this.#listener.credit(message.disk, message.bytes);
      else if (message.type === 'control') this.#takeControl(message.text);
      if (this.lost.aborted) return;
    }
  }

  #takeControl(text: string): void {
    const message = parseControl(text);
    if (message === undefined) throw new WireProblem('it sent an invalid control message');
    if (message.kind === 'fail') {
      this.#failure.resolve(message);
      // The receiver's failure has the states of the disks, and is its last message.
      this.#over = message.states !== undefined;
      this.#lose(failureError(this.#peer, message));
    } else if (!this.#listener.control(message)) {
      if (this.#waiting.length >= MAX_WAITING_STEPS) throw new WireProblem('it sent more steps than the protocol has');
      this.#waiting.push(message);
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    }
  }

  /** How the peer's program ended, if that is known soon. */
  async #end(): Promise<Awaited<PeerChannel['ended']> | undefined> {
    return await within(REASON_TIMEOUT_MS, this.#channel.ended);
  }

  #watch(): void {
    const now = performance.now();
    const waits = this.#expected !== undefined || this.#listener.waits();
    if (!waits) this.#workedAt = now;
    const silentMs = now - this.#receivedAt;
    const idleMs = now - Math.max(this.#movedAt, this.#workedAt);
    if (silentMs > this.#timeoutMs) this.#lose(stalledError(this.#peer, silentMs, this.#where()));
    else if (idleMs > Math.min(this.#stallTimeoutMs, 2 * this.#timeoutMs)) this.#lose(idleError(this.#peer, idleMs, this.#where()));
    else if (this.#greeted && now - this.#sentAt > Math.min(SIGN_INTERVAL_MS, this.#timeoutMs / SIGNS_PER_TIMEOUT))
      this.#write([header(waits ? 'alive' : 'working', 0, 0)]).catch(() => undefined);
  }

  #where(): readonly string[] {
    return this.#expected === undefined ? this.#listener.where() : [`waiting for the answer "${this.#expected}"`];
  }

  #lose(reason: unknown): void {
    this.#failure.resolve(undefined);
    this.#lost.abort(reason);
  }
}

function isKind<Kind extends ControlKind>(message: Control, kind: Kind): message is ControlOf<Kind> {
  return message.kind === kind;
}

/** The value of the promise, or undefined if it does not settle within the time. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const timeout = Promise.withResolvers<undefined>();
  const timer = setTimeout(timeout.resolve, ms, undefined);
  try {
    return await Promise.race([promise, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
