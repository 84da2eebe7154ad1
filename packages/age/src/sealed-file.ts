import { JOB_SEALED_BYTES } from './block-job.ts';
import { BlockQueue } from './block-queue.ts';
import { AgeError } from './errors.ts';
import { BLOCK_BYTES, plainBytesOf, SEALED_BLOCK_BYTES } from './payload.ts';

/** Where an encrypted file is read from. */
export interface SealedSource {
  /** Bytes of the whole file. */
  readonly size: number;
  /** Exactly these bytes of the file. A chunk may be overwritten when the next one is asked for. */
  read(offset: number, length: number): AsyncIterable<Uint8Array>;
}

/** An encrypted file that can be read. Only {@link Identities} makes them. */
export class SealedFile {
  /** As the size of the file says: it is proven when the last byte is read. */
  readonly plainBytes: number;
  readonly #source: SealedSource;
  readonly #start: number;
  readonly #key: Uint8Array;

  constructor(source: SealedSource, start: number, key: Uint8Array) {
    this.plainBytes = plainBytesOf(source.size - start);
    this.#source = source;
    this.#start = start;
    this.#key = key;
  }

  /** The same file from another source: of whose first bytes nothing is read again. */
  from(source: SealedSource): SealedFile {
    return new SealedFile(source, this.#start, this.#key);
  }

  /**
   * The plain bytes of a range, each of which was authenticated before it comes out. A read to the end proves that nothing is missing there.
   * A chunk is valid until the next one is requested. Uses at most 4 MiB of memory, and a thread of the process.
   *
   * @throws RangeError for one that is not in the file; AgeError `damaged`; what the source throws
   */
  async *read(offset = 0, length: number = this.plainBytes - offset): AsyncGenerator<Uint8Array, void, undefined> {
    const end = offset + length;
    if (offset < 0 || length < 0 || end > this.plainBytes)
      throw new RangeError(`${offset}+${length} is outside of the ${this.plainBytes} plain bytes`);
    if (length === 0 && this.plainBytes > 0) return;
    const first = Math.floor(offset / BLOCK_BYTES);
    let at = first * BLOCK_BYTES;
    for await (const plain of this.#open(first, Math.max(first, Math.ceil(end / BLOCK_BYTES) - 1))) {
      yield plain.subarray(Math.max(0, offset - at), Math.min(plain.length, end - at));
      at += plain.length;
    }
  }

  /** All plain bytes of these blocks. */
  async *#open(first: number, last: number): AsyncGenerator<Uint8Array, void, undefined> {
    const isToEnd = last === Math.max(0, Math.ceil(this.plainBytes / BLOCK_BYTES) - 1);
    const from = this.#start + first * SEALED_BLOCK_BYTES;
    const bytes = isToEnd ? this.#source.size - from : (last - first + 1) * SEALED_BLOCK_BYTES;
    const queue = new BlockQueue('open', this.#key);
    let pushed = 0;
    for await (const memory of inPieces(this.#source.read(from, bytes), bytes, queue)) {
      const start = { first: first + pushed / SEALED_BLOCK_BYTES, sealedBytes: Math.min(memory.length, bytes - pushed) };
      pushed += start.sealedBytes;
      queue.push(memory, { ...start, endsFile: isToEnd && pushed === bytes });
      if (queue.isFull) yield await queue.next();
    }
    while (!queue.isEmpty) yield await queue.next();
    if (pushed < bytes) throw new AgeError('damaged', `the file is cut off at byte ${from + pushed}`);
  }
}

/** The same bytes in pieces of memory, each full but for the last; an incomplete piece is left out. @param bytes how many they must be */
async function* inPieces(
  chunks: AsyncIterable<Uint8Array>,
  bytes: number,
  queue: BlockQueue,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const size = Math.min(JOB_SEALED_BYTES, bytes);
  let left = bytes;
  let memory: Uint8Array<ArrayBuffer> | undefined;
  let filled = 0;
  for await (const chunk of chunks) {
    if (chunk.length > left) throw new AgeError('damaged', 'there are more bytes than were asked for');
    for (let at = 0; at < chunk.length;) {
      memory ??= queue.memory(size);
      const taken = Math.min(size - filled, chunk.length - at);
      memory.set(chunk.subarray(at, at + taken), filled);
      filled += taken;
      at += taken;
      left -= taken;
      if (filled < size && left > 0) continue;
      yield memory;
      memory = undefined;
      filled = 0;
    }
  }
}
