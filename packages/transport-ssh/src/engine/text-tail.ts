import { StringDecoder } from 'node:string_decoder';

/** Keeps the start and the end of a long text: a program's first and last output is the most useful. */
export class TextTail {
  readonly #decoder = new StringDecoder('utf8');
  readonly #limit: number;
  #head = '';
  #tail = '';

  /** @param limit maximum number of characters of each */
  constructor(limit: number = 16 * 1024) {
    this.#limit = limit;
  }

  add(chunk: Buffer): void {
    const text = this.#decoder.write(chunk);
    const free = this.#limit - this.#head.length;
    this.#head += text.slice(0, free);
    this.#tail = (this.#tail + text.slice(free)).slice(-this.#limit);
  }

  get text(): string {
    return this.#head + this.#tail;
  }
}
