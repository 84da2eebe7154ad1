import { FormatProblem } from './damage.ts';
import type { StreamDigest } from './stream-digest.ts';

/** Reads the stored bytes of a dump in the portions that its parsing asks for. */
export class DumpReader implements AsyncDisposable {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #digest: StreamDigest | undefined;
  #chunk: Uint8Array = new Uint8Array(0);
  /** When the chunk has been digested, and may be given back for the next. */
  #digested: Promise<void> = Promise.resolve();
  #offset = 0;

  /** @param digest takes in all bytes on the way */
  constructor(source: AsyncIterable<Uint8Array>, digest?: StreamDigest) {
    this.#source = source[Symbol.asyncIterator]();
    this.#digest = digest;
  }

  /** Stored bytes that were handed on. */
  get offset(): number {
    return this.#offset;
  }

  async atEnd(): Promise<boolean> {
    return (await this.peek()) === undefined;
  }

  /** Some of the bytes that come next, undefined at the end. They may be looked at until anything else is asked for. */
  async peek(): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      await this.#digested;
      const step = await this.#source.next();
      if (step.done === true) return undefined;
      this.#chunk = step.value;
      if (this.#digest !== undefined) this.#digested = this.#digest.update(this.#chunk);
    }
    return this.#chunk;
  }

  /** At least so many of the bytes that come next, fewer where the dump ends before. As with {@link DumpReader.peek}. */
  async ahead(bytes: number): Promise<Uint8Array> {
    let start = (await this.peek()) ?? this.#chunk;
    while (start.length < bytes) {
      const held = Buffer.from(start);
      this.#chunk = held.subarray(held.length);
      const more = await this.peek();
      start = this.#chunk = more === undefined ? held : Buffer.concat([held, more]);
      if (more === undefined) break;
    }
    return start;
  }

  /** Passes over bytes that {@link DumpReader.peek} has shown. */
  pass(bytes: number): void {
    this.#chunk = this.#chunk.subarray(bytes);
    this.#offset += bytes;
  }

  /** Reads until `room` is full or the dump ends. @returns how many bytes */
  async read(room: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < room.length && (this.#chunk.length > 0 || !(await this.atEnd()))) {
      const bytes = this.#chunk.subarray(0, room.length - filled);
      room.set(bytes, filled);
      this.pass(bytes.length);
      filled += bytes.length;
    }
    return filled;
  }

  /** As {@link DumpReader.read}. @throws FormatProblem where the dump ends before `room` is full */
  async fill(room: Uint8Array): Promise<void> {
    if ((await this.read(room)) < room.length) throw new FormatProblem('it is cut off');
  }

  /** Passes over the next `bytes` bytes. @throws FormatProblem where the dump ends before */
  async skip(bytes: number): Promise<void> {
    for await (const _part of this.parts(bytes));
  }

  /** The next `bytes` bytes, in parts to be used at once. @throws FormatProblem where the dump ends before */
  async *parts(bytes: number): AsyncGenerator<Uint8Array, void, undefined> {
    for (let left = bytes; left > 0;) {
      const chunk = await this.peek();
      if (chunk === undefined) throw new FormatProblem('it is cut off');
      const part = chunk.subarray(0, left);
      left -= part.length;
      yield part;
      this.pass(part.length);
    }
  }

  /**
   * Passes over `pattern` as often as it comes next, at most `limit` times, as far as that is to be seen without waiting.
   *
   * @returns how often
   */
  passRepeated(pattern: Uint8Array, limit: number): number {
    let count = 0;
    while (count < limit && startsWith(this.#chunk, pattern)) {
      this.pass(pattern.length);
      count += 1;
    }
    return count;
  }

  /** Lets go of the source. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return?.();
  }
}

function startsWith(bytes: Uint8Array, pattern: Uint8Array): boolean {
  return bytes.length >= pattern.length && Buffer.compare(bytes.subarray(0, pattern.length), pattern) === 0;
}
