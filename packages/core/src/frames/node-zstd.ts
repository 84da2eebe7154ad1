import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { zstdParameters } from '../system/zstd-parameters.ts';
import type { NativeZstd } from '../system/zstd.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** For a Node whose own zstd cannot be called: the same by Node's zlib module, which takes more time and memory. */
export const NODE_ZSTD: NativeZstd = {
  compress: (plain, room, level) =>
    compress(plain, {
      // In one piece: in the usual pieces of 16 KiB it takes three times as long.
      chunkSize: room.length,
      params: {
        ...Object.fromEntries(zstdParameters(level)),
        [constants.ZSTD_c_contentSizeFlag]: 1,
      },
      pledgedSrcSize: plain.length,
    }),
  decompress: (stored, room) => decompress(stored, { chunkSize: Math.max(64, room.length + 1), maxOutputLength: Math.max(1, room.length) }),
  use: () => ({ [Symbol.dispose]: () => undefined }),
};
