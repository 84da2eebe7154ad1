import type { DumpReader } from './dump-reader.ts';
import type { Uint32List } from '../system/uint32-list.ts';

/** What one codec makes of frames. All sizes in bytes. */
export interface FrameCodec {
  /** The most frames that a dump can have. */
  readonly mostFrames: number;

  /** Keeps what calls can share, such as memory, until disposed. */
  use(): Disposable;

  /** The most that the stored frame of so many plain bytes takes. */
  storedBound(plainBytes: number): number;

  /** The stored frame of so many zeros; always the same bytes. */
  zeroFrame(plainBytes: number): Uint8Array;

  /**
   * Compresses one frame, on another thread.
   *
   * @param room has at least `storedBound` bytes; what comes back may be a part of it
   */
  compress(plain: Uint8Array, room: Uint8Array): Promise<Uint8Array>;

  /** What stands behind the last frame. `storedSizes` has the stored size of every frame. */
  trailer(frameSize: number, plainBytes: number, storedSizes: Uint32List): Iterable<Uint8Array>;

  /**
   * Reads one stored frame into `room`, which has at least `storedBound` bytes, without decompressing it.
   *
   * @throws FormatProblem with what is wrong: it is no frame of so many plain bytes, it has no checksum, it is cut off, it is too long
   */
  read(reader: DumpReader, plainBytes: number, room: Uint8Array): Promise<Uint8Array>;

  /**
   * Decompresses one frame, on another thread, and checks it.
   *
   * @param room has `plainBytes` bytes; what comes back may be a part of it
   * @throws FormatProblem where the frame is damaged
   */
  decompress(stored: Uint8Array, room: Uint8Array): Promise<Uint8Array>;

  /**
   * Reads what stands behind the last frame.
   *
   * @throws FormatProblem where that is not what {@link FrameCodec.trailer} writes
   */
  readTrailer(reader: DumpReader, frameSize: number, plainBytes: number, storedSizes: Uint32List): Promise<void>;
}
