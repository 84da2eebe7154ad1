import { EDGE_NUMBERS, HOSTILE_WORDS } from './hostile-words.ts';
import { mutateJson } from './mutate-json.ts';
import type { Random } from './random.ts';

/** The longest of the few inputs that are far longer than usual, bytes. */
const MAX_LONG_BYTES = 256 * 1024;

export interface MutatorOptions {
  readonly random: Random;
  readonly words: readonly string[];
  readonly maxBytes: number;
}

/** Makes new inputs of known ones. */
export class Mutator {
  readonly #random: Random;
  readonly #words: readonly string[];
  readonly #ownWords: readonly string[];
  readonly #maxBytes: number;

  constructor({ random, words, maxBytes }: MutatorOptions) {
    this.#random = random;
    this.#ownWords = words;
    this.#words = [...HOSTILE_WORDS, ...words, ...words];
    this.#maxBytes = maxBytes;
  }

  /** @param other a second input, of which a part may come into the new one */
  mutate(input: Uint8Array, other: Uint8Array): Uint8Array {
    const random = this.#random;
    let bytes: Buffer = Buffer.from(input);
    for (let changes = 1 + random.below(random.oneIn(3) ? 6 : 2); changes > 0; changes -= 1) {
      const json = isLikeJson(bytes) && !random.oneIn(4) ? mutateJson(bytes.toString('utf8'), this.#ownWords, random) : undefined;
      if (json?.isNested === true) return Buffer.from(json.text);
      const changed = json === undefined ? this.#change(Buffer.from(bytes), other) : Buffer.from(json.text);
      if (changed.length <= Math.max(this.#maxBytes, bytes.length)) bytes = changed;
    }
    return random.oneIn(3000) ? this.#longer(bytes) : bytes;
  }

  #change(bytes: Buffer, other: Uint8Array): Buffer {
    switch (this.#random.below(11)) {
      case 0:
        return this.#flipBit(bytes);
      case 1:
        return this.#overwrite(bytes, Buffer.of(this.#random.below(256)));
      case 2:
        return this.#overwrite(bytes, this.#binaryNumber());
      case 3:
        return this.#insert(bytes, Buffer.from(this.#random.pick(this.#words)));
      case 4:
        return this.#insert(bytes, this.#binaryNumber());
      case 5:
        return this.#remove(bytes);
      case 6:
        return this.#repeat(bytes);
      case 7:
        return this.#splice(bytes, other);
      case 8:
        return this.#changeNumber(bytes);
      case 9:
        return this.#changeWord(bytes);
      default:
        return this.#changeLines(bytes);
    }
  }

  #flipBit(bytes: Buffer): Buffer {
    const at = this.#random.below(bytes.length);
    if (bytes.length > 0) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << this.#random.below(8)), at);
    return bytes;
  }

  #overwrite(bytes: Buffer, part: Buffer): Buffer {
    const at = this.#random.below(bytes.length - part.length + 1);
    if (at >= 0 && part.length <= bytes.length) bytes.set(part, at);
    return bytes;
  }

  #insert(bytes: Buffer, part: Uint8Array): Buffer {
    const at = this.#random.below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)]);
  }

  #range(bytes: Buffer): readonly [start: number, end: number] {
    const start = this.#random.below(bytes.length + 1);
    const most = this.#random.oneIn(3) ? bytes.length - start : Math.min(8, bytes.length - start);
    return [start, start + this.#random.below(most + 1)];
  }

  #remove(bytes: Buffer): Buffer {
    const [start, end] = this.#range(bytes);
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
  }

  #repeat(bytes: Buffer): Buffer {
    const [start, end] = this.#range(bytes);
    const part = bytes.subarray(start, end);
    const times = this.#random.oneIn(4) ? this.#random.below(64) : 1;
    return Buffer.concat([bytes.subarray(0, end), ...Array.from({ length: times }, () => part), bytes.subarray(end)]);
  }

  #splice(bytes: Buffer, other: Uint8Array): Buffer {
    const [start, end] = this.#range(Buffer.from(other));
    return this.#random.oneIn(2)
      ? this.#insert(bytes, other.subarray(start, end))
      : Buffer.concat([bytes.subarray(0, this.#random.below(bytes.length + 1)), other.subarray(start)]);
  }

  #binaryNumber(): Buffer {
    const number = BigInt.asUintN(64, BigInt(this.#random.pick(BINARY_EDGES)) + BigInt(this.#random.below(3) - 1));
    const eight = Buffer.alloc(8);
    eight.writeBigUInt64BE(number);
    const size = this.#random.pick([1, 2, 4, 8]);
    const bytes = Buffer.from(eight.subarray(8 - size));
    return this.#random.oneIn(2) ? bytes : Buffer.from(bytes.toReversed());
  }

  #changeNumber(bytes: Buffer): Buffer {
    const text = bytes.toString('latin1');
    const numbers = [...text.matchAll(/\d+/g)];
    if (numbers.length === 0) return bytes;
    const { index, 0: number } = this.#random.pick(numbers);
    const near = String(BigInt(number.slice(0, 30)) + BigInt(this.#random.below(3) - 1));
    return replaced(bytes, index, number.length, this.#random.oneIn(2) ? this.#random.pick(EDGE_NUMBERS) : near);
  }

  #changeWord(bytes: Buffer): Buffer {
    const words = [...bytes.toString('latin1').matchAll(/[\w.-]+/g)];
    if (words.length === 0) return bytes;
    const { index, 0: word } = this.#random.pick(words);
    return replaced(bytes, index, word.length, this.#random.pick(this.#words));
  }

  #changeLines(bytes: Buffer): Buffer {
    const lines = bytes.toString('latin1').split('\n');
    const [one, two] = [this.#random.below(lines.length), this.#random.below(lines.length)];
    const line = lines[one] ?? '';
    switch (this.#random.below(3)) {
      case 0:
        lines.splice(one, 1);
        break;
      case 1:
        lines.splice(two, 0, line);
        break;
      default:
        lines[one] = lines[two] ?? '';
        lines[two] = line;
    }
    return Buffer.from(lines.join('\n'), 'latin1');
  }

  /** One of the few that show what takes more time or memory than it should. */
  #longer(bytes: Buffer): Buffer {
    const [start, end] = this.#range(bytes);
    if (start === end) return bytes;
    const part = bytes.subarray(start, end);
    const times = Math.floor((1 + this.#random.below(MAX_LONG_BYTES)) / part.length);
    return Buffer.concat([bytes.subarray(0, end), Buffer.alloc(part.length * times, part), bytes.subarray(end)]);
  }
}

const BINARY_EDGES: readonly string[] = EDGE_NUMBERS.filter((number) => /^\d+$/.test(number));

function isLikeJson(bytes: Buffer): boolean {
  const first = bytes[0];
  return first === 0x7b || first === 0x5b;
}

function replaced(bytes: Buffer, start: number, length: number, text: string): Buffer {
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(text), bytes.subarray(start + length)]);
}
