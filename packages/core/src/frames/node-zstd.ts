import { promisify } from 'node:util';
import type { ZstdOptions } from 'node:zlib';
import { constants, zstdCompress, zstdCompressSync, zstdDecompress } from 'node:zlib';
import { zstdParameters, zstdPatchParameters } from '../system/zstd-parameters.ts';
import type { NativeZstd } from '../system/zstd.ts';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** Lower levels find little of a dictionary again: their table of long matches does not look there. */
const MIN_PATCH_LEVEL = 9;

/** The same through Node's zlib module, which needs more time and memory: used if the zstd library in Node cannot be called directly. */
export const NODE_ZSTD: NativeZstd = {
  compress: (plain, output, level) => compress(plain, compressOptions(plain, output, zstdParameters(level))),
  async compressPatch(plain, base, output, level) {
    requireDictionaries();
    const parameters = zstdPatchParameters(Math.max(level, MIN_PATCH_LEVEL), plain.length + base.length);
    return await compress(plain, { ...compressOptions(plain, output, parameters), dictionary: base });
  },
  decompress: (stored, output) => decompress(stored, decompressOptions(output)),
  async decompressPatch(stored, base, output) {
    requireDictionaries();
    return await decompress(stored, { ...decompressOptions(output), dictionary: base });
  },
  use: () => ({ [Symbol.dispose]: () => undefined }),
};

function compressOptions(plain: Uint8Array, output: Uint8Array, parameters: ReadonlyMap<number, number>): ZstdOptions {
  return {
    // One chunk: with the default of 16 KiB it takes three times as long.
    chunkSize: output.length,
    params: { ...Object.fromEntries(parameters), [constants.ZSTD_c_contentSizeFlag]: 1 },
    pledgedSrcSize: plain.length,
  };
}

function decompressOptions(output: Uint8Array): ZstdOptions {
  return { chunkSize: Math.max(64, output.length + 1), maxOutputLength: Math.max(1, output.length) };
}

let hasDictionaries: boolean | undefined;

/** Node before 22.19 ignores the option, so that a patch would look damaged. */
function requireDictionaries(): void {
  const sample = Buffer.from('A line that is in the dictionary, and takes only a few bytes then.');
  hasDictionaries ??= zstdCompressSync(sample, { dictionary: sample }).length < sample.length / 2;
  if (!hasDictionaries) throw new Error('this version of Node cannot read or write patches of frames: use Node 24');
}
