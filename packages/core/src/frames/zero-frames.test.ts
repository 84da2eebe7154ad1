import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';

import { expect, test } from 'vitest';

import { gzipCodec } from './gzip-codec.ts';
import { FRAME_SIZE } from './types.ts';
import { zstdCodec } from './zstd-codec.ts';

/** Sizes around every limit of the formats, and the default frame size. */
const SIZES = [0, 1, 2, 7, 8, 9, 257, 258, 259, 260, 516, 517, 65_535, 65_536, 131_071, 131_072, 131_073, 262_144, 1_000_000, FRAME_SIZE];

test.each([
  ['zstd', zstdCodec(3), zstdDecompressSync],
  ['gzip', gzipCodec(6), gunzipSync],
] as const)('%s: every reader decodes a frame of zeros to the right number of zeros', async (name, codec, decompress) => {
  for (const size of SIZES) {
    const frame = codec.zeroFrame(size);
    expect(decompress(frame).equals(Buffer.alloc(size)), `${size} zeros`).toBe(true);
    expect(Buffer.from(await codec.decompress(frame, Buffer.alloc(size))).equals(Buffer.alloc(size))).toBe(true);
    const output = execFileSync(name, ['-dc'], { input: frame, maxBuffer: 2 * FRAME_SIZE });
    expect(output.equals(Buffer.alloc(size)), `${size} zeros, by ${name} -dc`).toBe(true);
  }
});

test.each([
  ['zstd', zstdCodec(3), 145, '2b9c9abd66d16e0a414ee93724011558654c7fce3e8f4f767299b8426294f2bd'],
  ['gzip', gzipCodec(6), 4170, '3b40edbb4786bbac814674314d334f7fee9ad5bebdd0a429e37d923d6010c0b9'],
] as const)('%s: the frame of 4 MiB of zeros never changes, because readers recognize it', (_name, codec, bytes, sha256) => {
  const frame = codec.zeroFrame(FRAME_SIZE);
  expect(frame.length).toBe(bytes);
  expect(createHash('sha256').update(frame).digest('hex')).toBe(sha256);
});
