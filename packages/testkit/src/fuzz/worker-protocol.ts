import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import type { FuzzOutcome } from './fuzz.ts';

/** What a worker is to fuzz. */
export interface Job {
  readonly name: string;
  /** The URL of the target. */
  readonly file: string;
  /** The path of its corpus. */
  readonly corpus: string;
  /** What reached something new in an earlier job of the same target. */
  readonly found?: readonly Uint8Array[];
  readonly seed: number;
  readonly inputs?: number | undefined;
  readonly ms?: number | undefined;
  readonly isGuided: boolean;
}

export interface JobOutcome extends FuzzOutcome {
  readonly name: string;
}

/** Before the input itself: how many inputs there were, and its length, little-endian, 4 bytes each. */
const HEADER_BYTES = 8;
/** In the place of a length: nothing runs. */
const IDLE = 0xffff_ffff;

/** The input that a worker has just started to run, in a file, which is there when the worker is gone. */
export class InputMirror implements Disposable {
  readonly #file: number;
  #buffer = Buffer.alloc(4096);
  #count = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'w', 0o600);
  }

  put(input: Uint8Array): void {
    this.#count += 1;
    if (HEADER_BYTES + input.length > this.#buffer.length) this.#buffer = Buffer.alloc(2 * (HEADER_BYTES + input.length));
    this.#buffer.set(input, HEADER_BYTES);
    this.#write(input.length, HEADER_BYTES + input.length);
  }

  /** Nothing runs. */
  clear(): void {
    this.#write(IDLE, HEADER_BYTES);
  }

  /** All at once: who reads it between two writes would see a mixture. The file may be longer, by what was there before. */
  #write(length: number, bytes: number): void {
    this.#buffer.writeUInt32LE(this.#count >>> 0, 0);
    this.#buffer.writeUInt32LE(length, 4);
    writeSync(this.#file, this.#buffer, 0, bytes, 0);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}

/** What is in the file of an {@link InputMirror}. */
export interface MirroredInput {
  /** Changes with each input. */
  readonly count: number;
  /** Undefined where nothing runs. */
  readonly input: Uint8Array | undefined;
}

export function readMirror(path: string): MirroredInput {
  const bytes = readFileSync(path);
  if (bytes.length < HEADER_BYTES) return { count: 0, input: undefined };
  const length = bytes.readUInt32LE(4);
  return { count: bytes.readUInt32LE(0), input: length === IDLE ? undefined : bytes.subarray(HEADER_BYTES, HEADER_BYTES + length) };
}

export function removeMirror(path: string): void {
  rmSync(path, { force: true });
}
