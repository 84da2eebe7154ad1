import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';

import { z } from 'zod';

import { errorText } from '../../report/error-text.ts';
import { terminalSafe } from '../../report/terminal-text.ts';
import { errnoName } from '../../system/errno-name.ts';

/*
 * QEMU's monitor protocol: JSON, a message a line (docs/interop/qmp-spec.rst of QEMU). A monitor takes one client at a time: to the
 * next one it says nothing until the first has left. So a client that stays connected locks out the tools that manage the guest.
 */

/** No answer is longer: all block nodes of a guest with a hundred disks take some hundred KiB. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;
const NEWLINE = 10;

const messageSchema = z.union([
  z.object({ QMP: z.object({ version: z.object({ qemu: z.object({ major: z.int(), minor: z.int(), micro: z.int() }) }) }) }),
  z.object({ event: z.string(), timestamp: z.object({ seconds: z.int(), microseconds: z.int() }) }),
  z.object({ id: z.int(), return: z.unknown() }),
  z.object({ id: z.int(), error: z.object({ class: z.string(), desc: z.string() }) }),
]);
type Message = z.infer<typeof messageSchema>;

/** QEMU has answered that it cannot do what was asked for. */
export class QmpRefusal extends Error {}

/** Nobody takes QMP there: the QEMU has ended. */
export class QmpGone extends Error {}

export interface QmpEvent {
  readonly name: string;
  /** By QEMU's clock, ms. */
  readonly atMs: number;
}

export interface QmpVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
}

export interface QmpCommand {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** What carries out commands of QMP. */
export interface Monitor {
  /** @returns what QEMU answers, unchecked @throws Error where it refuses */
  execute(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown>;
}

interface Waiting {
  readonly command: string;
  readonly answer: PromiseWithResolvers<unknown>;
}

export interface QmpOptions {
  /** For the greeting, and for each answer, ms. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A connection to a QEMU. Disposing ends it; what was made over it stays. */
export class QmpClient implements Monitor, AsyncDisposable {
  readonly #socket: Socket;
  readonly #options: QmpOptions;
  readonly #greeting = Promise.withResolvers<QmpVersion>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #events: QmpEvent[] = [];
  /** The beginning of a line whose end has not come yet. */
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #lastId = 0;
  #failure: Error | undefined;

  private constructor(socket: Socket, options: QmpOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#greeting.promise.catch(() => undefined);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#fail(new Error(`the connection to QEMU broke: ${error.message}`, { cause: error })));
    socket.on('close', () => this.#fail(new Error('QEMU closed the connection')));
  }

  /** @throws QmpGone; Error where it does not greet in time; the signal's reason */
  static async connect(path: string, options: QmpOptions): Promise<QmpClient> {
    const { signal, timeoutMs } = options;
    signal.throwIfAborted();
    const socket = connect({ path });
    try {
      await once(socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) });
    } catch (error) {
      socket.destroy();
      signal.throwIfAborted();
      const isGone = ['ENOENT', 'ECONNREFUSED'].includes(errnoName(error) ?? '');
      throw new (isGone ? QmpGone : Error)(`cannot connect to QEMU at ${path}: ${errorText(error)}`, { cause: error });
    }
    const client = new QmpClient(socket, options);
    try {
      await client.#greet(path);
      return client;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** What has happened since the connection began, the oldest first. */
  get events(): readonly QmpEvent[] {
    return this.#events;
  }

  get version(): Promise<QmpVersion> {
    return this.#greeting.promise;
  }

  /**
   * @returns what QEMU answers, unchecked
   * @throws QmpRefusal; Error where the connection breaks or the time is over; the signal's reason
   */
  async execute(execute: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown> {
    const [outcome] = await this.executeAll([{ execute, ...(parameters === undefined ? {} : { arguments: parameters }) }]);
    if (outcome?.status !== 'fulfilled') throw outcome?.reason;
    return outcome.value;
  }

  /** Sends all at once: QEMU carries them out in order, each of them even if the one before failed. */
  async executeAll(commands: readonly QmpCommand[]): Promise<readonly PromiseSettledResult<unknown>[]> {
    if (this.#failure !== undefined) throw this.#failure;
    const answers = commands.map(({ execute: command }) => {
      const answer = Promise.withResolvers<unknown>();
      this.#lastId += 1;
      this.#waiting.set(this.#lastId, { command, answer });
      return { id: this.#lastId, answer };
    });
    const lines = commands.map((command, at) => `${JSON.stringify({ ...command, id: answers[at]?.id })}\n`);
    this.#socket.write(lines.join(''));
    const names = commands.map(({ execute }) => execute).join(', ');
    return await this.#inTime(Promise.allSettled(answers.map(({ answer }) => answer.promise)), `did not answer ${names}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.closed) return;
    const closed = once(this.#socket, 'close');
    this.#socket.destroy();
    await closed;
  }

  async #greet(path: string): Promise<void> {
    await this.#inTime(this.#greeting.promise, `at ${path} does not greet: it takes one client at a time, and another one is connected`);
    await this.execute('qmp_capabilities');
  }

  /** @param complaint completes "QEMU … within N s" */
  async #inTime<T>(work: Promise<T>, complaint: string): Promise<T> {
    const { signal, timeoutMs } = this.#options;
    const timer = setTimeout(() => this.#fail(new Error(`QEMU ${complaint} (waited ${timeoutMs / 1000} s)`)), timeoutMs);
    const onAbort = (): void => this.#fail(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await work;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      signal.throwIfAborted();
    }
  }

  #receive(chunk: Buffer): void {
    let begin = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, begin)) {
      this.#takeLine(Buffer.concat([...this.#partial, chunk.subarray(begin, end)]).toString());
      this.#partial = [];
      this.#partialBytes = 0;
      begin = end + 1;
    }
    if (begin === chunk.length) return;
    this.#partial.push(chunk.subarray(begin));
    this.#partialBytes += chunk.length - begin;
    if (this.#partialBytes > MAX_LINE_BYTES) this.#fail(new Error(`QEMU sent a line of more than ${MAX_LINE_BYTES} bytes`));
  }

  #takeLine(line: string): void {
    if (line.trim() === '') return;
    try {
      this.#take(messageSchema.parse(JSON.parse(line)));
    } catch (error) {
      this.#fail(new Error(`QEMU sent something else than QMP: ${terminalSafe(line.slice(0, 100))}`, { cause: error }));
    }
  }

  #take(message: Message): void {
    if ('QMP' in message) this.#greeting.resolve(message.QMP.version.qemu);
    else if ('event' in message) {
      const { seconds, microseconds } = message.timestamp;
      this.#events.push({ name: message.event, atMs: seconds * 1000 + microseconds / 1000 });
    } else {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if ('error' in message) {
        const { class: name, desc } = message.error;
        waiting?.answer.reject(new QmpRefusal(`QEMU refused ${waiting.command}: ${terminalSafe(desc)} (${terminalSafe(name)})`));
      } else waiting?.answer.resolve(message.return);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#socket.destroy();
    this.#greeting.reject(this.#failure);
    for (const { answer } of this.#waiting.values()) answer.reject(this.#failure);
    this.#waiting.clear();
  }
}
