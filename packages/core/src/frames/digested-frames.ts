import { sha256OnThread } from '../system/sha256.ts';
import type { FrameMap } from './frame-map.ts';
import type { PlainPiece } from './types.ts';
import { isZero } from './zeros.ts';

/** A frame with data, of which only its digest is known. */
export interface DigestedFrame {
  /** Plain bytes from the start of the disk. */
  readonly start: number;
  readonly plainBytes: number;
  /** Of the plain bytes, lower-case hexadecimal. */
  readonly sha256: string;
}

/** The frames of a map, in the order of the disk, without the zeros. */
export function* framesOfMap(map: FrameMap): Generator<DigestedFrame, void, undefined> {
  for (const entry of map) {
    if (entry.kind === 'zeros') continue;
    const { start, plainBytes, sha256 } = entry;
    yield { start, plainBytes, sha256: Buffer.from(sha256).toString('hex') };
  }
}

/** Cuts a plain stream at multiples of `frameSize` into frames, and leaves out those that have only zeros. */
export async function* cutIntoFrames(pieces: AsyncIterable<PlainPiece>, frameSize: number): AsyncGenerator<DigestedFrame, void, undefined> {
  const frame = new FrameBuffer(frameSize);
  for await (const piece of pieces) {
    const length = piece instanceof Uint8Array ? piece.length : piece.zeros;
    for (let at = 0; at < length;) {
      const taken = piece instanceof Uint8Array ? frame.push(piece.subarray(at)) : frame.pushZeros(length - at);
      at += taken;
      const full = frame.isFull ? await frame.take() : undefined;
      if (full !== undefined) yield full;
    }
  }
  const last = await frame.take();
  if (last !== undefined) yield last;
}

class FrameBuffer {
  readonly #bytes: Buffer;
  #start = 0;
  #length = 0;
  /** Whether bytes other than zeros may be in it. */
  #hasData = false;

  constructor(frameSize: number) {
    this.#bytes = Buffer.alloc(frameSize);
  }

  get isFull(): boolean {
    return this.#length === this.#bytes.length;
  }

  /** @returns how many bytes were taken */
  push(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.#bytes.length - this.#length);
    this.#bytes.set(bytes.subarray(0, taken), this.#length);
    this.#length += taken;
    this.#hasData = true;
    return taken;
  }

  /** @returns how many of them were taken: frames of nothing but zeros are passed over at once */
  pushZeros(zeros: number): number {
    if (this.#length === 0 && zeros >= this.#bytes.length) {
      const taken = zeros - (zeros % this.#bytes.length);
      this.#start += taken;
      return taken;
    }
    const taken = Math.min(zeros, this.#bytes.length - this.#length);
    this.#bytes.fill(0, this.#length, this.#length + taken);
    this.#length += taken;
    return taken;
  }

  /** The frame, and room for the next one; undefined if it has only zeros. */
  async take(): Promise<DigestedFrame | undefined> {
    const [start, plain, hasData] = [this.#start, this.#bytes.subarray(0, this.#length), this.#hasData];
    this.#start += this.#length;
    this.#length = 0;
    this.#hasData = false;
    if (!hasData || isZero(plain)) return undefined;
    return { start, plainBytes: plain.length, sha256: Buffer.from(await sha256OnThread(plain)).toString('hex') };
  }
}
