import { crc32Aside } from '../system/crc32.ts';
import type { FrameCodec } from './frame-codec.ts';
import { FormatProblem } from './damage.ts';
import { zeroBytes } from './zeros.ts';

/** The plain stream itself, cut into frames only to check it: frames carry no checksum, and have a CRC-32 in the frame table. */
export const PLAIN_CODEC: FrameCodec = {
  maxFrames: Infinity,
  minFrames: 0,
  use: () => ({ [Symbol.dispose]: () => undefined }),
  storedBound: () => 0,
  zeroFrame: zeroBytes,
  compress: async (plain) => plain,
  checksum: crc32Aside,
  trailer: () => [],
  trailerBytes: () => 0,
  async read(reader, plainBytes, output) {
    const frame = output.subarray(0, plainBytes);
    await reader.fill(frame);
    return frame;
  },
  inspect(stored, plainBytes) {
    if (stored.length !== plainBytes) throw new FormatProblem(`it has ${stored.length} bytes and should have ${plainBytes}`);
  },
  decompress: async (stored) => stored,
  async readTrailer() {
    // The last frame is the end.
  },
};
