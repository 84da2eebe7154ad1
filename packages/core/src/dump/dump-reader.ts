import { FormatProblem } from './damage.ts';
import { StreamDigest } from './stream-digest.ts';

/** Reads the stored bytes of a dump in the portions that its parsing asks for, and digests them on the way. */
export class DumpReader implements Disposable {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #digest = new StreamDigest();
  #chunk: Uint8Array = new Uint8Array(0);
  /** When the chunk has been digested, and may be given back for the next. */
  #digested: Promise<void> = Promise.resolve();
  #offset = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Stored bytes that were handed on. */
  get offset(): number {
    return this.#offset;
  }

  /** SHA-256 of all bytes, lower-case hexadecimal. To be asked for once, at the end. */
  sha256(): Promise<string> {
    return this.#digest.hex();
  }

  [Symbol.dispose](): void {
    this.#digest[Symbol.dispose]();
  }

  async atEnd(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      await this.#digested;
      const step = await this.#source.next();
      if (step.done === true) return true;
      this.#chunk = step.value;
      this.#digested = this.#digest.update(this.#chunk);
    }
    return false;
  }

  /** Reads until `room` is full or the dump ends. @returns how many bytes */
  async read(room: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < room.length && (this.#chunk.length > 0 || !(await this.atEnd()))) {
      const bytes = this.#chunk.subarray(0, room.length - filled);
      room.set(bytes, filled);
      this.#skip(bytes.length);
      filled += bytes.length;
    }
    return filled;
  }

  /** As {@link DumpReader.read}. @throws FormatProblem where the dump ends before `room` is full */
  async fill(room: Uint8Array): Promise<void> {
    if ((await this.read(room)) < room.length) throw new FormatProblem('it is cut off');
  }

  /**
   * Passes over `pattern` as often as it comes next, at most `limit` times, as far as that is to be seen without waiting.
   *
   * @returns how often
   */
  skipRepeated(pattern: Uint8Array, limit: number): number {
    let count = 0;
    while (count < limit && startsWith(this.#chunk, pattern)) {
      this.#skip(pattern.length);
      count += 1;
    }
    return count;
  }

  #skip(bytes: number): void {
    this.#chunk = this.#chunk.subarray(bytes);
    this.#offset += bytes;
  }
}

function startsWith(bytes: Uint8Array, pattern: Uint8Array): boolean {
  return bytes.length >= pattern.length && Buffer.compare(bytes.subarray(0, pattern.length), pattern) === 0;
}
