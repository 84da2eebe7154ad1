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

/** Takes what comes out of turn. Each may throw a WireProblem where it must not come. */
export interface LinkListener {
  data(disk: number, bytes: Uint8Array): void;
  credit(disk: number, bytes: number): void;
  /** Whether it took the message; else the message waits for {@link Link.expect}. */
  control(message: Control): boolean;
  /** Whether this side can do nothing before the other has sent something. */
  waits(): boolean;
  /** Where things stand, line by line, for an error that says where it stalled. */
  where(): readonly string[];
}

export interface LinkOptions {
  /** How the other side is called in messages. */
  readonly peer: string;
  readonly listener: LinkListener;
  /** Without a byte for so long, the other side is given up. Also sets how often a sign of life is sent. */
  readonly peerTimeoutMs: number;
  /** The same, for signs of life alone while this side waits for the other; twice `peerTimeoutMs` where that is less. */
  readonly stallTimeoutMs?: number | undefined;
}

/** More steps than the protocol ever has waiting. */
const MOST_WAITING = 4;
const SIGNS_PER_TIMEOUT = 4;
/** How often a sign is sent at least, ms: the other side may wait for one that says that this side works. */
const SIGN_INTERVAL_MS = 1000;
const LEAST_STALL_MS = 3 * SIGN_INTERVAL_MS;
/** How long to wait for the reason, once it is clear that the channel is of no use any more, ms. */
const REASON_PATIENCE_MS = 5000;

/** One side of a pipe: messages over a channel, until it is disposed or lost. The channel stays its owner's. */
export class Link implements Disposable {
  readonly #channel: PeerChannel;
  readonly #peer: string;
  readonly #listener: LinkListener;
  readonly #lost = new AbortController();
  readonly #waiting: Control[] = [];
  readonly #lastWord = Promise.withResolvers<Failure | undefined>();
  readonly #timer: NodeJS.Timeout;
  #timeoutMs: number;
  readonly #stallTimeoutMs: number;
  #changed = Promise.withResolvers<void>();
  #written: Promise<unknown> = Promise.resolve();
  #greeted = false;
  /** Nobody is there any more, or has said so. */
  #over = false;
  #heardAt = performance.now();
  #spokeAt = performance.now();
  /** When something that is not only a sign of life came or went. */
  #movedAt = performance.now();
  /** When this side last had something of its own to do. */
  #workedAt = performance.now();
  /** The step of the other side that is waited for. */
  #expected: ControlKind | undefined;

  constructor(channel: PeerChannel, { peer, listener, peerTimeoutMs, stallTimeoutMs = Infinity }: LinkOptions) {
    this.#channel = channel;
    this.#peer = peer;
    this.#listener = listener;
    this.#timeoutMs = peerTimeoutMs;
    this.#stallTimeoutMs = Math.max(stallTimeoutMs, LEAST_STALL_MS);
    this.#timer = setInterval(() => this.#watch(), Math.min(SIGN_INTERVAL_MS, peerTimeoutMs / SIGNS_PER_TIMEOUT));
    this.#write([Buffer.from(GREETING)]).catch(() => undefined);
    void this.#read();
  }

  /** Aborted when the link is of no use any more, with the reason: a GantryError. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  set peerTimeoutMs(ms: number) {
    this.#timeoutMs = ms;
  }

  async send(message: Control): Promise<void> {
    const body = Buffer.from(JSON.stringify(message));
    await this.#write([header('control', 0, body.length), body]);
  }

  /** Resolves when the bytes may be changed again. */
  async sendData(disk: number, bytes: Uint8Array): Promise<void> {
    await this.#write([header('data', disk, bytes.length), bytes]);
    this.#movedAt = performance.now();
  }

  async sendCredit(disk: number, bytes: number): Promise<void> {
    await this.#write([creditMessage(disk, bytes)]);
  }

  /** Waits for the next step of the other side, which must be of that kind. @throws GantryError; the reason of the signal */
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

  /** Why the other side gave up; undefined when it is gone without a word, or says nothing for so long. */
  async lastWord(patienceMs: number): Promise<Failure | undefined> {
    return await within(patienceMs, this.#lastWord.promise);
  }

  /** Says why this side gives up, if anybody is there to hear it. Never rejects. */
  async sayFailure(failure: Omit<Failure, 'kind'>, patienceMs: number): Promise<void> {
    if (this.#over) return;
    const body = Buffer.from(JSON.stringify({ kind: 'fail', ...failure } satisfies Failure));
    const signal = AbortSignal.timeout(patienceMs);
    try {
      await orAbort(this.#written, signal);
      await this.#channel.write([header('control', 0, body.length), body], { signal });
    } catch {
      // Whoever does not hear it sees the end of the channel.
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#lose(endedError(this.#peer, undefined, true));
  }

  async #write(parts: readonly Uint8Array[]): Promise<void> {
    const turn = this.#written.then(() => {
      this.lost.throwIfAborted();
      this.#spokeAt = performance.now();
      return this.#channel.write(parts, { signal: this.lost });
    });
    this.#written = turn.catch(() => undefined);
    try {
      await turn;
    } catch (error) {
      // What the other side said last, or how it ended, tells more than that it does not listen.
      const patience = setTimeout(() => this.#lose(asPeerError(error, this.#peer)), REASON_PATIENCE_MS);
      await this.#lastWord.promise;
      clearTimeout(patience);
      this.#lose(asPeerError(error, this.#peer));
      throw this.lost.reason;
    }
  }

  async #read(): Promise<void> {
    const greeting = new GreetingReader();
    const splitter = new MessageSplitter();
    try {
      for await (const chunk of this.#channel.input) {
        this.#heardAt = performance.now();
        // Read on: where the channel is closed for reading, the other side may not hear why it is given up.
        if (!this.lost.aborted) this.#hear(greeting, splitter, chunk);
      }
    } catch {
      // The same as its end: how the other side ended says more.
    }
    this.#over = true;
    this.#lose(endedError(this.#peer, await this.#end(), this.#greeted));
  }

  #hear(greeting: GreetingReader, splitter: MessageSplitter, chunk: Uint8Array): void {
    try {
      const rest = this.#greeted ? chunk : this.#greet(greeting, chunk);
      if (rest !== undefined) this.#take(splitter, rest);
    } catch (error) {
      this.#lose(error instanceof WireProblem ? garbageError(this.#peer, error.message, error) : error);
    }
  }

  /** @returns what came behind the greeting */
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
    if (message === undefined) throw new WireProblem('it sent a control message that is none');
    if (message.kind === 'fail') {
      this.#lastWord.resolve(message);
      // The receiver speaks last, with what became of the disks.
      this.#over = message.states !== undefined;
      this.#lose(failureError(this.#peer, message));
    } else if (!this.#listener.control(message)) {
      if (this.#waiting.length >= MOST_WAITING) throw new WireProblem('it sent more steps than there are');
      this.#waiting.push(message);
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    }
  }

  /** How the peer's program ended, if that is told soon. */
  async #end(): Promise<Awaited<PeerChannel['ended']> | undefined> {
    return await within(REASON_PATIENCE_MS, this.#channel.ended);
  }

  #watch(): void {
    const now = performance.now();
    const waits = this.#expected !== undefined || this.#listener.waits();
    if (!waits) this.#workedAt = now;
    const silentMs = now - this.#heardAt;
    const idleMs = now - Math.max(this.#movedAt, this.#workedAt);
    if (silentMs > this.#timeoutMs) this.#lose(stalledError(this.#peer, silentMs, this.#where()));
    else if (idleMs > Math.min(this.#stallTimeoutMs, 2 * this.#timeoutMs)) this.#lose(idleError(this.#peer, idleMs, this.#where()));
    else if (this.#greeted && now - this.#spokeAt > Math.min(SIGN_INTERVAL_MS, this.#timeoutMs / SIGNS_PER_TIMEOUT))
      this.#write([header(waits ? 'alive' : 'working', 0, 0)]).catch(() => undefined);
  }

  #where(): readonly string[] {
    return this.#expected === undefined ? this.#listener.where() : [`waiting for the answer "${this.#expected}"`];
  }

  #lose(reason: unknown): void {
    this.#lastWord.resolve(undefined);
    this.#lost.abort(reason);
  }
}

function isKind<Kind extends ControlKind>(message: Control, kind: Kind): message is ControlOf<Kind> {
  return message.kind === kind;
}

/** What the promise comes to, if it does in so many milliseconds. */
async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const timeout = Promise.withResolvers<undefined>();
  const timer = setTimeout(timeout.resolve, ms, undefined);
  try {
    return await Promise.race([promise, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
