import { GantryError } from '../report/errors.ts';
import { Uint32List } from '../system/number-lists.ts';
import type { FrameCodec } from './frame-codec.ts';
import { StreamDigest } from './stream-digest.ts';
import type { DumpSummary } from './types.ts';

/** What a pack comes to. */
export type PackTotals = Pick<DumpSummary, 'frames' | 'storedBytes' | 'sha256'>;

/**
 * Counts and digests the bytes of a pack (docs/reference/formats/frame-maps.md): stored frames of any size one after another, and what
 * the codec has after the last one. The caller writes the bytes, in this order. A pack without frames has no bytes at all.
 */
export class PackOutput implements Disposable {
  readonly #codec: FrameCodec;
  readonly #isDigested: boolean;
  readonly #digest = new StreamDigest();
  readonly #storedSizes = new Uint32List();
  readonly #plainSizes = new Uint32List();
  #storedBytes = 0;

  /** @param options.withDigest whether the bytes are digested; otherwise the totals have the digest of no bytes */
  constructor(codec: FrameCodec, { withDigest = true }: { readonly withDigest?: boolean | undefined } = {}) {
    this.#codec = codec;
    this.#isDigested = withDigest;
  }

  /** Of all that came so far. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  get frames(): number {
    return this.#storedSizes.length;
  }

  /**
   * Takes the next frame.
   *
   * @returns where it is in the pack; the bytes must not change until `digested` resolves
   * @throws GantryError `USAGE` for more frames than the codec can have in one dump
   */
  frame(stored: Uint8Array, plainBytes: number): { readonly offset: number; readonly digested: Promise<void> } {
    const offset = this.#storedBytes;
    if (this.frames === this.#codec.maxFrames) throw tooManyFrames(this.#codec);
    this.#storedSizes.push(stored.length);
    this.#plainSizes.push(plainBytes);
    return { offset, digested: this.#count(stored) };
  }

  /** The bytes after the last frame. */
  async *trailer(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.frames === 0) return;
    const at = (index: number): { storedBytes: number; plainBytes: number } => ({
      storedBytes: this.#storedSizes.at(index) ?? 0,
      plainBytes: this.#plainSizes.at(index) ?? 0,
    });
    for (const chunk of this.#codec.trailer({ length: this.frames, at })) {
      await this.#count(chunk);
      yield chunk;
    }
  }

  /** To be called once, at the end. */
  async totals(): Promise<PackTotals> {
    return { frames: this.frames, storedBytes: this.#storedBytes, sha256: await this.#digest.hex() };
  }

  [Symbol.dispose](): void {
    this.#digest[Symbol.dispose]();
  }

  #count(chunk: Uint8Array): Promise<void> {
    this.#storedBytes += chunk.length;
    return this.#isDigested ? this.#digest.update(chunk) : Promise.resolve();
  }
}

/** @returns the error for a disk with more frames than a dump of this codec can have */
export function tooManyFrames({ maxFrames }: FrameCodec): GantryError {
  return new GantryError('USAGE', {
    message: `the disk is too large for this codec: a dump can have at most ${maxFrames} frames`,
    hint: 'Use another codec, such as none.',
  });
}
