import type { DumpReader } from './dump-reader.ts';
import type { ListedFrames } from './listed-frames.ts';

/** How a codec stores a frame as its difference from another one, the base. Works on other threads. */
export interface FramePatches {
  /** Whether a frame can be a base. */
  isPossible(base: Uint8Array): boolean;

  /**
   * Compresses one frame as its difference from a base.
   *
   * @param base plain bytes; must not change meanwhile
   * @param output has at least `storedBound` bytes
   * @returns a part of `output`; `inspect` and `checksum` take it like every stored frame
   */
  compress(plain: Uint8Array, base: Uint8Array, output: Uint8Array): Promise<Uint8Array>;

  /**
   * Decompresses such a frame, and verifies the checksum that it contains.
   *
   * @param output has the size that the plain bytes should have
   * @returns a part of `output`
   * @throws Error if the frame is damaged, or the base is another one
   */
  decompress(stored: Uint8Array, base: Uint8Array, output: Uint8Array): Promise<Uint8Array>;
}

/** A stored frame that was found in a dump of which nothing is known. */
export interface FoundFrame {
  readonly stored: Uint8Array;
  /** As it says itself. */
  readonly plainBytes: number;
}

/** How one codec stores frames. All sizes in bytes. */
export interface FrameCodec {
  /** The maximum number of frames in a dump. */
  readonly maxFrames: number;

  /** Absent for a codec that cannot store differences. */
  readonly patches?: FramePatches;

  /** Frames in the dump of an empty disk: 0, or 1 if an empty file would not be valid in this format. */
  readonly minFrames: 0 | 1;

  /** Keeps resources that calls can share, such as memory, until disposed. */
  use(): Disposable;

  /** The maximum size of the stored frame of this many plain bytes; 0 for a codec that stores them unchanged, in the same memory. */
  storedBound(plainBytes: number): number;

  /** The stored frame of this many zeros; always the same bytes. */
  zeroFrame(plainBytes: number): Uint8Array;

  /**
   * Compresses one frame, on another thread.
   *
   * @param output has at least `storedBound` bytes
   * @returns a part of `output`, or `plain` itself
   */
  compress(plain: Uint8Array, output: Uint8Array): Promise<Uint8Array>;

  /**
   * The 32-bit checksum of a stored frame: the one that it contains, which is verified by decompressing. For a codec whose frames
   * do not contain one, it is computed on another thread.
   */
  checksum(stored: Uint8Array): Promise<number>;

  /** The bytes after the last of these frames. */
  trailer(frames: ListedFrames): Iterable<Uint8Array>;

  /** The size of {@link FrameCodec.trailer}. */
  trailerBytes(frames: number): number;

  /**
   * Reads one stored frame into `output`, which has at least `storedBound` bytes, without decompressing it.
   *
   * @throws FormatProblem as for `inspect`, or because it ends early or is too long
   */
  read(reader: DumpReader, plainBytes: number, output: Uint8Array): Promise<Uint8Array>;

  /**
   * Reads the next stored frame of a dump of which nothing is known, such as one that was cut off. What it finds may be damaged.
   *
   * @param output has at least `storedBound` bytes for the largest frame
   * @returns undefined at what follows the last frame
   * @throws FormatProblem if there is no frame that can be found so, or the dump ends in it
   */
  readNext(reader: DumpReader, output: Uint8Array): Promise<FoundFrame | undefined>;

  /**
   * Checks the header of a stored frame.
   *
   * @throws FormatProblem if it is not one frame of `plainBytes` bytes with a checksum
   */
  inspect(stored: Uint8Array, plainBytes: number): void;

  /**
   * Decompresses one frame on another thread, and verifies the checksum that it contains.
   *
   * @param output has the size that the plain bytes should have
   * @returns a part of `output`, or `stored` itself
   * @throws Error if the frame is damaged
   */
  decompress(stored: Uint8Array, output: Uint8Array): Promise<Uint8Array>;

  /**
   * Reads the bytes after the last frame.
   *
   * @throws FormatProblem if they differ from what {@link FrameCodec.trailer} writes
   */
  readTrailer(reader: DumpReader, frames: ListedFrames): Promise<void>;
}
