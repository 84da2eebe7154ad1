import { crc32OnThread } from '../system/crc32.ts';
import type { FrameCodec } from './frame-codec.ts';
import { FormatProblem } from './damage.ts';
import { FRAME_SIZE } from './types.ts';
import { zeroBytes } from './zeros.ts';

/** The plain stream itself, divided into frames only to check it: their CRC-32 is in the frame table. */
export const PLAIN_CODEC: FrameCodec = {
  maxFrames: Infinity,
  minFrames: 0,
  use: () => ({ [Symbol.dispose]: () => undefined }),
  storedBound: () => 0,
  zeroFrame: zeroBytes,
  compress: async (plain) => plain,
  checksum: crc32OnThread,
  trailer: () => [],
  trailerBytes: () => 0,
  async read(reader, plainBytes, output) {
    const frame = output.subarray(0, plainBytes);
    await reader.fill(frame);
    return frame;
  },
  /** There is nothing between frames: those of disks have the usual size. */
  async readNext(reader, output) {
    if (await reader.atEnd()) return undefined;
    const stored = output.subarray(0, await reader.read(output.subarray(0, FRAME_SIZE)));
    return { stored, plainBytes: stored.length };
  },
  inspect(stored, plainBytes) {
    if (stored.length !== plainBytes) throw new FormatProblem(`size mismatch: got ${stored.length} bytes, expected ${plainBytes}`);
  },
  decompress: async (stored) => stored,
  async readTrailer() {
    // There is nothing after the last frame.
  },
};
