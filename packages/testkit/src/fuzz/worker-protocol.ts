import type { FuzzOutcome } from './fuzz.ts';

/** What a worker is to fuzz. */
export interface Job {
  readonly name: string;
  /** The URL of the target. */
  readonly file: string;
  /** The path of its corpus. */
  readonly corpus: string;
  readonly seed: number;
  readonly inputs?: number | undefined;
  readonly ms?: number | undefined;
  readonly isGuided: boolean;
}

export interface JobOutcome extends FuzzOutcome {
  readonly name: string;
}

/** The longest input that is seen from outside, bytes. */
const MAX_MIRRORED_BYTES = 1024 * 1024;
const HEADER_WORDS = 2;

/** The input that a worker has just begun to run, for the thread that watches it. */
export class InputMirror {
  static readonly bytes: number = HEADER_WORDS * 4 + MAX_MIRRORED_BYTES;
  /** How many inputs there were, and the length of the last one; 0 between targets. */
  readonly #header: Int32Array;
  readonly #content: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.#header = new Int32Array(memory, 0, HEADER_WORDS);
    this.#content = new Uint8Array(memory, HEADER_WORDS * 4);
  }

  put(input: Uint8Array): void {
    const part = input.subarray(0, MAX_MIRRORED_BYTES);
    this.#content.set(part);
    Atomics.store(this.#header, 1, part.length);
    Atomics.add(this.#header, 0, 1);
  }

  clear(): void {
    Atomics.store(this.#header, 1, 0);
    Atomics.add(this.#header, 0, 1);
  }

  /** Changes with each input. */
  get count(): number {
    return Atomics.load(this.#header, 0);
  }

  get input(): Uint8Array {
    return Uint8Array.from(this.#content.subarray(0, Atomics.load(this.#header, 1)));
  }
}
