import type { DumpReader } from './dump-reader.ts';
import type { FrameTable } from './frame-table.ts';

/** How one codec stores frames. All sizes in bytes. */
export interface FrameCodec {
  /** The most frames that a dump can have. */
  readonly maxFrames: number;

  /** How many frames a dump of nothing has: 0, or 1 where a file of no bytes would not be one of this format. */
  readonly minFrames: 0 | 1;

  /** Keeps what calls can share, such as memory, until disposed. */
  use(): Disposable;

  /** The most that the stored frame of that many plain bytes takes; 0 for a codec that stores them as they are, where they are. */
  storedBound(plainBytes: number): number;

  /** The stored frame of that many zeros; always the same bytes. */
  zeroFrame(plainBytes: number): Uint8Array;

  /**
   * Compresses one frame, on another thread.
   *
   * @param output has at least `storedBound` bytes
   * @returns a part of `output`, or `plain` itself
   */
  compress(plain: Uint8Array, output: Uint8Array): Promise<Uint8Array>;

  /**
   * The checksum of a stored frame, 32 bits: the one that it carries, which decompressing compares with its contents. For a codec
   * whose frames carry none, it is computed, on another thread.
   */
  checksum(stored: Uint8Array): Promise<number>;

  /** What follows the last frame. `table` has every frame. */
  trailer(frameSize: number, plainBytes: number, table: FrameTable): Iterable<Uint8Array>;

  /** The size of {@link FrameCodec.trailer}. */
  trailerBytes(frames: number): number;

  /**
   * Reads one stored frame into `output`, which has at least `storedBound` bytes, without decompressing it.
   *
   * @throws FormatProblem as `inspect`, or because it is cut off or too long
   */
  read(reader: DumpReader, plainBytes: number, output: Uint8Array): Promise<Uint8Array>;

  /**
   * Looks at what a stored frame says of itself.
   *
   * @throws FormatProblem where it is not one frame of `plainBytes` bytes with a checksum
   */
  inspect(stored: Uint8Array, plainBytes: number): void;

  /**
   * Decompresses one frame, on another thread, and compares its contents with the checksum that it carries.
   *
   * @param output has the size that the plain bytes should have
   * @returns a part of `output`, or `stored` itself
   * @throws Error where the frame is damaged
   */
  decompress(stored: Uint8Array, output: Uint8Array): Promise<Uint8Array>;

  /**
   * Reads what follows the last frame.
   *
   * @throws FormatProblem where that is not what {@link FrameCodec.trailer} writes
   */
  readTrailer(reader: DumpReader, frameSize: number, plainBytes: number, table: FrameTable): Promise<void>;
}
