import { ALLOCATION_CONTEXT, NbdError, connectNbd, isData, isDirty, joinRanges } from '@gantry/nbd';
import type { NbdClient, Range } from '@gantry/nbd';

import type { PartsReader } from '../frames/plain-reader.ts';
import type { Hole } from '../frames/types.ts';
import { GantryError } from '../report/errors.ts';

/** QEMU is slow while its guest writes a lot; after this time without a reply, it is considered unresponsive. */
const REPLY_TIMEOUT_MS = 120_000;

export interface NbdView {
  /** Path of a Unix socket. */
  readonly socket: string;
  readonly exportName: string;
  /** Size of the disk, if known: the export must have the same size. */
  readonly bytes: number | undefined;
}

/**
 * Reads the contents of an NBD export, or parts of it, in order. Ranges that the server reports as zeros are not read. A read sends all of its requests
 * at once.
 *
 * Reading throws GantryError `DISK_IO` and the signal's reason.
 */
export class NbdReader implements PartsReader, AsyncDisposable {
  readonly #view: NbdView;
  readonly #signal: AbortSignal;
  #opening: Promise<NbdClient> | undefined;
  #ranges: AsyncGenerator<Range, void, undefined> | undefined;
  /** The current or next range with data; undefined before the first and after the last. */
  #range: Range | undefined;
  /** Of what was selected; up to the end of the disk if undefined. */
  #end: number | undefined;
  #at = 0;

  /** The first read opens the connection. */
  constructor(view: NbdView, signal: AbortSignal) {
    this.#view = view;
    this.#signal = signal;
  }

  select(offset: number, length: number): void {
    this.#at = offset;
    this.#end = offset + length;
    this.#ranges = undefined;
    this.#range = undefined;
  }

  async read(output: Uint8Array): Promise<number | Hole | undefined> {
    try {
      this.#opening ??= this.#open();
      return await this.#readNext(await this.#opening, output);
    } catch (error) {
      throw asDiskError(error, this.#signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = await this.#opening?.catch(() => undefined);
    await client?.[Symbol.asyncDispose]();
  }

  async #open(): Promise<NbdClient> {
    const { bytes } = this.#view;
    const client = await connect(this.#view, ALLOCATION_CONTEXT, this.#signal);
    if (bytes === undefined || client.size === bytes) return client;
    await client[Symbol.asyncDispose]();
    throw new GantryError('DISK_IO', {
      message: `cannot read a snapshot from QEMU: it has ${client.size} bytes, expected ${bytes}`,
      hint: 'Export it while nothing resizes it.',
    });
  }

  async #readNext(client: NbdClient, output: Uint8Array): Promise<number | Hole | undefined> {
    const start = this.#at;
    const end = this.#end ?? client.size;
    if (start === end) return undefined;
    this.#ranges ??= this.#findRanges(client, start, end);
    if (this.#range === undefined || this.#range.offset + this.#range.length === start) this.#range = await this.#nextRange();
    const range = this.#range ?? { offset: end, length: 0 };
    if (range.offset > start) {
      this.#at = range.offset;
      return { zeros: range.offset - start };
    }
    const part = output.subarray(0, Math.min(output.length, range.offset + range.length - start));
    await client.read(start, part, { signal: this.#signal });
    this.#at = start + part.length;
    return part.length;
  }

  /** An extent may end after what was asked about. */
  async *#findRanges(client: NbdClient, offset: number, end: number): AsyncGenerator<Range, void, undefined> {
    const found = client.extents(ALLOCATION_CONTEXT, { offset, length: end - offset, signal: this.#signal });
    for await (const range of joinRanges(found, isData)) yield { offset: range.offset, length: Math.min(range.length, end - range.offset) };
  }

  async #nextRange(): Promise<Range | undefined> {
    const step = await this.#ranges?.next();
    return step === undefined || step.done === true ? undefined : step.value;
  }
}

/**
 * The ranges that a dirty bitmap of QEMU has, in order, bytes.
 * @throws GantryError `DISK_IO`; the signal's reason
 */
export async function* readDirtyRanges(
  view: Pick<NbdView, 'socket' | 'exportName'>,
  bitmap: string,
  signal: AbortSignal,
): AsyncGenerator<Range, void, undefined> {
  const context = `qemu:dirty-bitmap:${bitmap}`;
  try {
    await using client = await connect(view, context, signal);
    yield* joinRanges(client.extents(context, { signal }), isDirty);
  } catch (error) {
    throw asDiskError(error, signal);
  }
}

function connect({ socket, exportName }: Pick<NbdView, 'socket' | 'exportName'>, context: string, signal: AbortSignal): Promise<NbdClient> {
  return connectNbd({ address: { path: socket }, exportName, contexts: [context], timeoutMs: REPLY_TIMEOUT_MS, signal });
}

function asDiskError(error: unknown, signal: AbortSignal): unknown {
  signal.throwIfAborted();
  if (!(error instanceof NbdError)) return error;
  return new GantryError('DISK_IO', {
    message: `cannot read a snapshot from QEMU: ${error.message}`,
    hint: 'Check that the guest is still running and that the scratch directory has enough space.',
    cause: error,
  });
}
