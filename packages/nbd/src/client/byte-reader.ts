import type { Socket } from 'node:net';
import type { OnReadOpts } from 'node:net';

const BUFFER_BYTES = 65_536;
/** What is wanted at least for the kernel to write it into the caller's memory itself. */
const DIRECT_BYTES = 16_384;

interface Wanted {
  readonly into: Uint8Array;
  filled: number;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * What a socket receives, in pieces of the size that is asked for. Big pieces are received by the kernel straight into the memory
 * that they are for. Nothing is received while nothing is asked for, but for one buffer.
 */
export class ByteReader {
  /** Two, of which one may hold bytes that nobody has asked for yet, while Node already has the other for what comes next. */
  #buffers: readonly [Buffer, Buffer] = [Buffer.allocUnsafeSlow(BUFFER_BYTES), Buffer.allocUnsafeSlow(BUFFER_BYTES)];
  #kept: Uint8Array = new Uint8Array();
  #wanted: Wanted | undefined;
  #failure: Error | undefined;
  #socket: Socket | undefined;

  /** For `net.connect`. */
  readonly onread: OnReadOpts = {
    buffer: () => this.#nextBuffer(),
    callback: (bytes, buffer) => this.#received(buffer, bytes),
  };

  attach(socket: Socket): void {
    this.#socket = socket;
  }

  /**
   * Resolves when `into` is full. One at a time.
   * @throws the error that {@link fail} was given
   */
  async fill(into: Uint8Array): Promise<void> {
    const kept = Math.min(this.#kept.length, into.length);
    into.set(this.#kept.subarray(0, kept));
    this.#kept = this.#kept.subarray(kept);
    if (kept === into.length) return;
    if (this.#failure !== undefined) throw this.#failure;
    this.#wanted = { into, filled: kept, done: Promise.withResolvers() };
    this.#socket?.resume();
    await this.#wanted.done.promise;
  }

  /** Nothing more is coming. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wanted?.done.reject(this.#failure);
    this.#wanted = undefined;
  }

  #nextBuffer(): Uint8Array {
    const wanted = this.#wanted;
    if (wanted !== undefined && wanted.into.length - wanted.filled >= DIRECT_BYTES) return wanted.into.subarray(wanted.filled);
    const [first, second] = this.#buffers;
    return this.#kept.buffer === first.buffer && this.#kept.length > 0 ? second : first;
  }

  /** @returns whether more may come */
  #received(buffer: Uint8Array, bytes: number): boolean {
    const wanted = this.#wanted;
    if (wanted === undefined) {
      this.#kept = buffer.subarray(0, bytes);
      return false;
    }
    const direct = buffer.buffer === wanted.into.buffer && buffer.byteOffset === wanted.into.byteOffset + wanted.filled;
    const taken = Math.min(bytes, wanted.into.length - wanted.filled);
    if (!direct) wanted.into.set(buffer.subarray(0, taken), wanted.filled);
    wanted.filled += taken;
    this.#kept = buffer.subarray(taken, bytes);
    if (wanted.filled === wanted.into.length) {
      this.#wanted = undefined;
      wanted.done.resolve();
    }
    return this.#kept.length === 0;
  }
}
