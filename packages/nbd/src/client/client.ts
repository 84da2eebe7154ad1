import { NbdError, violation } from '../errors.ts';
import type { Extent } from '../extents.ts';
import { ALLOCATION_CONTEXT, COMMAND } from '../wire/protocol.ts';
import type { Agreement, ExportInfo } from './choose-export.ts';
import type { OpenSocket } from './open-socket.ts';
import type { BlockStatus } from './transaction.ts';
import { ReadTransaction, StatusTransaction } from './transaction.ts';
import { Transmission } from './transmission.ts';

export interface ClientLimits {
  readonly maxInFlight: number;
  readonly maxRequestBytes: number;
  readonly timeoutMs: number;
}

export interface CallOptions {
  /** Aborted while a reply is due, it ends the connection, and with it every other call. */
  readonly signal?: AbortSignal;
}

/** What is asked for at once, bytes: a multiple of every block size. */
const MAX_STATUS_REQUEST_BYTES = 1 << 30;

/** An export, open for reading. Calls may run side by side. */
export class NbdClient implements AsyncDisposable {
  /** As the server says it. */
  readonly info: ExportInfo;
  readonly #agreement: Agreement;
  readonly #transmission: Transmission;
  readonly #requestBytes: number;

  constructor(open: OpenSocket, agreement: Agreement, limits: ClientLimits) {
    this.info = agreement;
    this.#agreement = agreement;
    const { minimum, maximum } = agreement.blockSizes;
    const most = Math.min(limits.maxRequestBytes, maximum);
    this.#requestBytes = Math.max(minimum, most - (most % minimum));
    this.#transmission = new Transmission(open, { ...limits, structured: agreement.structured });
  }

  /** Bytes. */
  get size(): number {
    return this.info.size;
  }

  /**
   * Fills `into` with what stands at `offset`, in several requests at once where it is long. Offset and length must be multiples of
   * the minimum block size. When it rejects, `into` may have been written to in part, and is not written to any more.
   * @throws NbdError `invalid-argument`, `server-error`, `timeout`, `disconnected`, `protocol`; the signal's reason
   */
  async read(offset: number, into: Uint8Array, { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    this.#assertRange(offset, into.length);
    const reads: Promise<void>[] = [];
    for (let at = 0; at < into.length; at += this.#requestBytes) {
      const part = into.subarray(at, Math.min(into.length, at + this.#requestBytes));
      reads.push(this.#transmission.run(COMMAND.READ, new ReadTransaction(offset + at, part), signal));
    }
    const failed = (await Promise.allSettled(reads)).find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /**
   * Asks once: the answer has one extent at least for every metadata context, and may end before the range does.
   * @throws NbdError `invalid-argument`, `server-error`, `timeout`, `disconnected`, `protocol`; the signal's reason
   */
  async blockStatus(offset: number, length: number, { signal }: CallOptions = {}): Promise<BlockStatus> {
    signal?.throwIfAborted();
    this.#assertRange(offset, length);
    const { contexts, size } = this.#agreement;
    if (contexts.size === 0 || length === 0)
      throw new NbdError('invalid-argument', 'no metadata context was selected, or no bytes are asked for');
    const asked = Math.min(length, MAX_STATUS_REQUEST_BYTES);
    const transaction = new StatusTransaction(offset, asked, contexts, size);
    await this.#transmission.run(COMMAND.BLOCK_STATUS, transaction, signal);
    return transaction.result;
  }

  /**
   * What a metadata context says of the whole range, in order and without gaps; neighbours have different flags.
   * @throws NbdError, as {@link blockStatus}; the signal's reason
   */
  async *extents(
    context: string,
    { offset = 0, length = this.size - offset, signal }: CallOptions & { readonly offset?: number; readonly length?: number } = {},
  ): AsyncGenerator<Extent, void, undefined> {
    const { minimum } = this.info.blockSizes;
    const end = offset + length;
    let last: Extent | undefined;
    for (let at = offset; at < end;) {
      // An extent may end within a block, at which no question may begin.
      const begin = at - (at % minimum);
      const status = await this.blockStatus(begin, end - begin, signal === undefined ? {} : { signal });
      const extents = status.get(context);
      if (extents === undefined) throw new NbdError('invalid-argument', `the metadata context ${context} was not selected`);
      for (const extent of at < endOf(extents) ? extents : [unknownRest(context, at, begin + minimum)]) {
        const next = endOf([extent]);
        if (next <= at) continue;
        if (last !== undefined && last.flags !== extent.flags) yield last;
        const offset: number = last?.flags === extent.flags ? last.offset : at;
        at = next;
        last = { offset, length: at - offset, flags: extent.flags };
      }
    }
    if (last !== undefined) yield last;
  }

  /** Ends the connection; calls that still run reject. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transmission.close();
  }

  #assertRange(offset: number, length: number): void {
    const { minimum } = this.info.blockSizes;
    const isInside =
      Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset + length <= this.size;
    if (!isInside)
      throw new NbdError('invalid-argument', `${length} bytes at offset ${offset} are outside the NBD export of ${this.size} bytes`);
    if (offset % minimum !== 0 || length % minimum !== 0)
      throw new NbdError('invalid-argument', `${length} bytes at offset ${offset} are not a multiple of the block size ${minimum}`);
  }
}

function endOf(extents: readonly Extent[]): number {
  const last = extents.at(-1);
  return last === undefined ? 0 : last.offset + last.length;
}

/**
 * The rest of a block that the server says nothing of. "the status flags are intentionally defined so that a server MAY always safely
 * report a status of 0" (`NBD_CMD_BLOCK_STATUS`) holds for `base:allocation`; nbdkit's filter `truncate` needs it.
 */
function unknownRest(context: string, offset: number, end: number): Extent {
  if (context !== ALLOCATION_CONTEXT) throw violation(`does not say what ${context} has at offset ${offset}`);
  return { offset, length: end - offset, flags: 0 };
}
