import { FormatProblem } from './damage.ts';
import type { StreamDigest } from './stream-digest.ts';

/** Reads the stored bytes of a dump in pieces of the sizes that a parser needs. */
export class DumpReader implements AsyncDisposable {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #digest: StreamDigest | undefined;
  #chunk: Uint8Array = new Uint8Array(0);
  /** Resolves when the chunk has been digested and the source may reuse its memory. */
  #digested: Promise<void> = Promise.resolve();
  #offset = 0;

  /** @param digest gets all bytes that are read */
  constructor(source: AsyncIterable<Uint8Array>, digest?: StreamDigest) {
    this.#source = source[Symbol.asyncIterator]();
    this.#digest = digest;
  }

  /** Stored bytes that were consumed. */
  get offset(): number {
    return this.#offset;
  }

  async atEnd(): Promise<boolean> {
    return (await this.peek()) === undefined;
  }

  /** Some of the next bytes, undefined at the end. They are valid until the next call. */
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

  /** Like {@link DumpReader.peek}, but at least this many bytes; fewer if the dump ends before. */
  async peekAtLeast(bytes: number): Promise<Uint8Array> {
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

  /** Advances over bytes that {@link DumpReader.peek} returned. */
  consume(bytes: number): void {
    this.#chunk = this.#chunk.subarray(bytes);
    this.#offset += bytes;
  }

  /** Reads until `output` is full or the dump ends. @returns the number of bytes */
  async read(output: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < output.length && (this.#chunk.length > 0 || !(await this.atEnd()))) {
      const bytes = this.#chunk.subarray(0, output.length - filled);
      output.set(bytes, filled);
      this.consume(bytes.length);
      filled += bytes.length;
    }
    return filled;
  }

  /** Like {@link DumpReader.read}. @throws FormatProblem if the dump ends before `output` is full */
  async fill(output: Uint8Array): Promise<void> {
    if ((await this.read(output)) < output.length) throw new FormatProblem('it ends early');
  }

  /** Skips the next `bytes` bytes. @throws FormatProblem if the dump ends before */
  async skip(bytes: number): Promise<void> {
    for await (const _part of this.parts(bytes));
  }

  /** The next `bytes` bytes, in parts that are valid until the next one. @throws FormatProblem if the dump ends before */
  async *parts(bytes: number): AsyncGenerator<Uint8Array, void, undefined> {
    for (let left = bytes; left > 0;) {
      const chunk = await this.peek();
      if (chunk === undefined) throw new FormatProblem('it ends early');
      const part = chunk.subarray(0, left);
      left -= part.length;
      yield part;
      this.consume(part.length);
    }
  }

  /**
   * Skips repetitions of `pattern`, at most `limit`, as far as they can be seen without waiting for the source.
   *
   * @returns how many were skipped
   */
  skipRepeated(pattern: Uint8Array, limit: number): number {
    let count = 0;
    while (count < limit && startsWith(this.#chunk, pattern)) {
      this.consume(pattern.length);
      count += 1;
    }
    return count;
  }

  /** Closes the source. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.return?.();
  }
}

function startsWith(bytes: Uint8Array, pattern: Uint8Array): boolean {
  return bytes.length >= pattern.length && Buffer.compare(bytes.subarray(0, pattern.length), pattern) === 0;
}
