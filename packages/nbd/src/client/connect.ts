import { NbdError } from '../errors.ts';
import type { ListedExport } from '../wire/options.ts';
import type { Agreement, ExportInfo } from './choose-export.ts';
import { chooseExport, inquireExport, listExportsOver } from './choose-export.ts';
import { NbdClient } from './client.ts';
import { Negotiation } from './negotiation.ts';
import type { NbdAddress, OpenSocket } from './open-socket.ts';
import { openSocket, showAddress } from './open-socket.ts';

export interface ReachOptions {
  readonly address: NbdAddress;
  /** For the whole negotiation, and then for each reply from its request on, ms. */
  readonly timeoutMs: number;
  /** Of connecting alone: each call of the client has its own. */
  readonly signal?: AbortSignal;
}

export interface ConnectOptions extends ReachOptions {
  /** Empty for the server's default export. */
  readonly exportName: string;
  /** Metadata contexts that the export must have, such as `base:allocation` or `qemu:dirty-bitmap:NAME`. */
  readonly contexts?: readonly string[];
  /** Requests that wait for their reply at once. */
  readonly maxInFlight?: number;
  /** What one request asks for at most, bytes; the server's own limit holds too. */
  readonly maxRequestBytes?: number;
}

const DEFAULT_IN_FLIGHT = 16;
/** With 8 to 32 in flight the fastest from a QEMU that has the disk in memory (bench/read.ts). */
const DEFAULT_REQUEST_BYTES = 1 << 19;
/** What a timer, and a length of the protocol, can hold. */
const MAX_SETTING = 2 ** 31 - 1;

/**
 * Connects to an export, for reading.
 * @throws NbdError `unreachable`, `timeout`, `disconnected`, `protocol`, `unknown-export`, `refused`, `unsupported`, `invalid-argument`; the
 * signal's reason
 */
export async function connectNbd(options: ConnectOptions): Promise<NbdClient> {
  const { maxInFlight = DEFAULT_IN_FLIGHT, maxRequestBytes = DEFAULT_REQUEST_BYTES, exportName, contexts = [], timeoutMs } = options;
  assertPositive('maxInFlight', maxInFlight);
  assertPositive('maxRequestBytes', maxRequestBytes);
  const choose = (negotiation: Negotiation): Promise<Agreement> => chooseExport(negotiation, exportName, contexts);
  const { open, result: agreement } = await negotiate(options, choose);
  return new NbdClient(open, agreement, { maxInFlight, maxRequestBytes, timeoutMs });
}

/** The exports that a server names; it may have more. @throws NbdError, as {@link connectNbd}; the signal's reason */
export async function listExports(options: ReachOptions): Promise<readonly ListedExport[]> {
  return askAndLeave(options, listExportsOver);
}

/** What a server says of an export, which is not opened. @throws NbdError, as {@link connectNbd}; the signal's reason */
export async function describeExport(options: ReachOptions & { readonly exportName: string }): Promise<ExportInfo> {
  return askAndLeave(options, (negotiation) => inquireExport(negotiation, options.exportName));
}

async function askAndLeave<T>(options: ReachOptions, ask: (negotiation: Negotiation) => Promise<T>): Promise<T> {
  const { result } = await negotiate(options, async (negotiation) => {
    const answer = await ask(negotiation);
    negotiation.abort();
    return answer;
  });
  return result;
}

async function negotiate<T>(
  { address, timeoutMs, signal }: ReachOptions,
  talk: (negotiation: Negotiation) => Promise<T>,
): Promise<{ readonly open: OpenSocket; readonly result: T }> {
  assertPositive('timeoutMs', timeoutMs);
  signal?.throwIfAborted();
  using limit = new TimeLimit(timeoutMs, `the NBD server at ${showAddress(address)} did not answer within ${timeoutMs} ms`, signal);
  const open = await openSocket(address, limit.signal);
  let negotiation: Negotiation | undefined;
  const onLimit = (): void => {
    open.socket.destroy();
    open.reader.fail(limit.signal.reason);
  };
  limit.signal.addEventListener('abort', onLimit, { once: true });
  try {
    negotiation = await Negotiation.begin(open);
    const result = await talk(negotiation);
    limit.signal.throwIfAborted();
    return { open, result };
  } catch (error) {
    if (negotiation !== undefined && isRefusal(error)) negotiation.abort();
    else open.socket.destroy();
    limit.signal.throwIfAborted();
    throw error;
  } finally {
    limit.signal.removeEventListener('abort', onLimit);
  }
}

/** The server said no by the rules: it may expect a goodbye. */
function isRefusal(error: unknown): boolean {
  return error instanceof NbdError && (error.code === 'unknown-export' || error.code === 'refused' || error.code === 'unsupported');
}

function assertPositive(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value <= 0 || value > MAX_SETTING)
    throw new NbdError('invalid-argument', `${name} must be a whole number from 1 to ${MAX_SETTING}, not ${value}`);
}

/** A signal that is aborted with a typed error when the time is over, and with the caller's reason when the caller's is. */
class TimeLimit implements Disposable {
  readonly signal: AbortSignal;
  readonly #timer: NodeJS.Timeout;

  constructor(timeoutMs: number, message: string, outer: AbortSignal | undefined) {
    const controller = new AbortController();
    this.#timer = setTimeout(() => controller.abort(new NbdError('timeout', message)), timeoutMs);
    this.signal = outer === undefined ? controller.signal : AbortSignal.any([controller.signal, outer]);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
