import { StringDecoder } from 'node:string_decoder';

/** The beginning and the end of a text that may be long: what a program says first and last tells most. */
export class TextTail {
  readonly #decoder = new StringDecoder('utf8');
  readonly #limit: number;
  #head = '';
  #tail = '';

  /** @param limit characters to keep of each */
  constructor(limit: number = 16 * 1024) {
    this.#limit = limit;
  }

  add(chunk: Buffer): void {
    const text = this.#decoder.write(chunk);
    const room = this.#limit - this.#head.length;
    this.#head += text.slice(0, room);
    this.#tail = (this.#tail + text.slice(room)).slice(-this.#limit);
  }

  get text(): string {
    return this.#head + this.#tail;
  }
}
