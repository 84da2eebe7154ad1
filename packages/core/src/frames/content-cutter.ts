import { createHash } from 'node:crypto';

/*
 * Cuts a stream where its content says, so that what was inserted in one place does not move the cuts after it: FastCDC (Xia and others,
 * USENIX ATC 2016) with the parameters of docs/reference/formats/content-cuts.md. A change here ends the sharing of frames with every
 * export that was made before.
 */

/** Sizes of frames, bytes. */
export interface CutSizes {
  /** Of every frame but the last; at least 32. */
  readonly min: number;
  /** A power of two, at least 8: below, cuts are rare, above, they are frequent. */
  readonly normal: number;
  readonly max: number;
}

/** Frames of 650 KiB on average. Why: docs/decisions/0117-frames-cut-by-content.md. */
export const CONTENT_CUT: CutSizes = { min: 256 * 1024, normal: 512 * 1024, max: 4 * 1024 * 1024 };

/** The hash of 32 bits depends on the last 32 bytes: each byte moves all earlier ones up by a bit. */
const WINDOW_BYTES = 32;
/** Normalized chunking of level 2: two bits more below the normal size, two bits fewer above it. */
const NORMALIZATION = 2;

/** What each byte adds to the hash: the first four bytes of the SHA-256 of that byte, as a big-endian number. */
export const GEAR: Int32Array = Int32Array.from({ length: 256 }, (_, byte) =>
  createHash('sha256').update(Buffer.of(byte)).digest().readInt32BE(),
);

/** Finds the ends of the frames of one stream. */
export class ContentCutter {
  readonly #sizes: CutSizes;
  /** The bits of the hash that must be 0 at the end of a frame. */
  readonly #rareBits: number;
  readonly #frequentBits: number;
  #hash = 0;
  /** Bytes of the current frame so far. */
  #length = 0;

  constructor(sizes: CutSizes = CONTENT_CUT) {
    const bits = Math.log2(sizes.normal);
    this.#sizes = sizes;
    this.#rareBits = highestBits(bits + NORMALIZATION);
    this.#frequentBits = highestBits(bits - NORMALIZATION);
  }

  /**
   * Takes the next bytes of the stream, or what is left of them after a frame.
   *
   * @returns how many of them end the current frame; undefined if it goes on after all of them
   */
  next(bytes: Uint8Array): number | undefined {
    const { min, normal, max } = this.#sizes;
    const start = -this.#length;
    const at = (length: number): number => Math.min(Math.max(start + length, 0), bytes.length);
    // No cut is possible before `min`: only the bytes on which a cut there depends need to be hashed.
    this.#add(bytes, at(min - WINDOW_BYTES), at(min - 1));
    const end =
      this.#search(bytes, at(min - 1), at(normal - 1), this.#rareBits) ??
      this.#search(bytes, at(normal - 1), at(max - 1), this.#frequentBits) ??
      (start + max <= bytes.length ? start + max : undefined);
    this.#length = end === undefined ? this.#length + bytes.length : 0;
    return end;
  }

  #add(bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; at += 1) this.#hash = ((this.#hash << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0;
  }

  /** Two bytes a step: the second does not wait for the hash after the first. */
  #search(bytes: Uint8Array, from: number, to: number, bits: number): number | undefined {
    let hash = this.#hash;
    let at = from;
    for (; at + 1 < to; at += 2) {
      const first = GEAR[bytes[at] ?? 0] ?? 0;
      const both = ((first << 1) + (GEAR[bytes[at + 1] ?? 0] ?? 0)) | 0;
      if ((((hash << 1) + first) & bits) === 0) return at + 1;
      hash = ((hash << 2) + both) | 0;
      if ((hash & bits) === 0) return at + 2;
    }
    this.#hash = hash;
    if (at < to) {
      this.#add(bytes, at, to);
      if ((this.#hash & bits) === 0) return to;
    }
    return undefined;
  }
}

function highestBits(count: number): number {
  return -1 << (32 - count);
}
