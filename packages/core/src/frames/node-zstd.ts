import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { zstdParameters } from '../system/zstd-parameters.ts';
import type { NativeZstd } from '../system/zstd.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** The same through Node's zlib module, which needs more time and memory: used if the zstd library in Node cannot be called directly. */
export const NODE_ZSTD: NativeZstd = {
  compress: (plain, output, level) =>
    compress(plain, {
      // One chunk: with the default of 16 KiB it takes three times as long.
      chunkSize: output.length,
      params: {
        ...Object.fromEntries(zstdParameters(level)),
        [constants.ZSTD_c_contentSizeFlag]: 1,
      },
      pledgedSrcSize: plain.length,
    }),
  decompress: (stored, output) =>
    decompress(stored, { chunkSize: Math.max(64, output.length + 1), maxOutputLength: Math.max(1, output.length) }),
  use: () => ({ [Symbol.dispose]: () => undefined }),
};
