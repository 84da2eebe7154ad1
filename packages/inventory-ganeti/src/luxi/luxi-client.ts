import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createConnection } from 'node:net';
import type { CallOptions, InventoryErrorCode } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import { z } from 'zod';
import { readJson } from '../read-json.ts';
import { shownText } from '../shown-text.ts';

/** Ends each message, in both directions (`LUXI_EOM` in Ganeti's source). */
const END_OF_MESSAGE = 3;
/** Of Ganeti 3.0 and 3.1 (`LUXI_VERSION`): the configuration's version. */
const LUXI_VERSION = 3_000_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface LuxiOptions {
  /** Path of the socket of luxid. */
  readonly socket: string;
  /** ms that an answer may take. */
  readonly timeoutMs: number;
}

/** A client of LUXI, the protocol between Ganeti's own commands and the daemon luxid on the master. Each call has its own connection. */
export class LuxiClient {
  readonly #options: LuxiOptions;

  constructor(options: LuxiOptions) {
    this.#options = options;
  }

  /**
   * @returns the result, as JSON has it
   * @throws InventoryError; the reason of the signal
   */
  async call(method: string, args: readonly unknown[], { signal }: CallOptions = {}): Promise<unknown> {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs);
    const stop = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
    try {
      const socket = await connect(this.#options.socket, stop);
      const request = Buffer.from(JSON.stringify({ method, args, version: LUXI_VERSION }));
      socket.write(Buffer.concat([request, Buffer.of(END_OF_MESSAGE)]));
      return parseAnswer(await receive(socket));
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof InventoryError) throw error;
      const reason = timeout.aborted ? `no answer within ${this.#options.timeoutMs / 1000} s` : reasonOf(error);
      throw new InventoryError(codeOf(error), { message: `LUXI at ${this.#options.socket}: ${reason}`, cause: error });
    }
  }
}

async function connect(path: string, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const socket = createConnection({ path });
  const abort = (): void => void socket.destroy(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
  signal.addEventListener('abort', abort, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', abort));
  await once(socket, 'connect');
  return socket;
}

/** One message; the connection is closed in any case. */
async function receive(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket) {
    if (!(chunk instanceof Buffer)) continue;
    const end = chunk.indexOf(END_OF_MESSAGE);
    const part = end === -1 ? chunk : chunk.subarray(0, end);
    length += part.length;
    if (length > MAX_ANSWER_BYTES)
      throw new InventoryError('failed', { message: `LUXI: the answer has more than ${MAX_ANSWER_BYTES} bytes` });
    chunks.push(part);
    if (end !== -1) return Buffer.concat(chunks).toString('utf8');
  }
  throw new InventoryError('unavailable', {
    message: 'LUXI: the connection broke off',
    hint: 'Is luxid running? systemctl status ganeti-luxid',
  });
}

const answer = z.object({ success: z.boolean(), result: z.unknown() });

function parseAnswer(message: string): unknown {
  let value: unknown;
  try {
    value = readJson(message);
  } catch {
    throw new InventoryError('failed', { message: 'LUXI: the answer is not JSON' });
  }
  const { success, data } = answer.safeParse(value);
  if (!success) throw new InventoryError('failed', { message: 'LUXI: the answer is not as Ganeti gives it' });
  if (data.success) return data.result;
  const said = z.tuple([z.string(), z.array(z.unknown())]).safeParse(data.result).data?.[1] ?? [data.result];
  const text = said.find((each) => typeof each === 'string') ?? 'Ganeti does not say why';
  throw new InventoryError(said.includes('unknown_entity') ? 'not-found' : 'failed', { message: `LUXI: ${shownText(text)}` });
}

function errnoOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function codeOf(error: unknown): InventoryErrorCode {
  const errno = errnoOf(error);
  if (errno === 'EACCES' || errno === 'EPERM') return 'denied';
  return errno === 'ENOENT' ? 'source-not-found' : 'unavailable';
}

function reasonOf(error: unknown): string {
  const errno = String(errnoOf(error) ?? error);
  return REASONS[errno] ?? `the connection broke off (${errno})`;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  ECONNREFUSED: 'luxid is not running',
  ENOENT: 'this is not the master of a Ganeti cluster',
};
