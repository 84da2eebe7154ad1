import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { asBuffer } from '../system/as-buffer.ts';
import { findNativeZstd } from '../system/zstd.ts';
import { CODECS } from './codecs/registry.ts';
import { NODE_ZSTD } from './node-zstd.ts';
import { FRAME_SIZE } from './types.ts';
import { zstdCodec } from './zstd-codec.ts';
import { parseZstdHeader } from './zstd-format.ts';

const run = promisify(execFile);
const MiB = 1024 * 1024;

/** Random bytes, which only a base can make small, and the same with other bytes in three places. */
function changed(bytes: number): { readonly base: Buffer; readonly plain: Buffer } {
  const base = randomBytes(bytes);
  const plain = Buffer.from(base);
  for (const part of [0.1, 0.5, 0.9]) randomBytes(300).copy(plain, Math.floor(bytes * part));
  return { base, plain };
}

describe.each([
  ['zstd itself', findNativeZstd, 8192],
  // With some data, it does not find a few of the base's blocks of 128 KiB.
  ['the zlib module of Node', () => NODE_ZSTD, FRAME_SIZE / 8],
] as const)('patches by %s', (_name, zstd, most) => {
  const codec = (level = 3) => zstdCodec(level, zstd() ?? expect.fail('the zstd of this Node cannot be called'));
  const patchesOf = ({ patches } = codec()) => patches ?? expect.fail('zstd lacks patches');
  const compress = async (plain: Uint8Array, base: Uint8Array, level = 3): Promise<Buffer> => {
    const output = Buffer.alloc(codec().storedBound(plain.length));
    return Buffer.from(await patchesOf(codec(level)).compress(plain, base, output));
  };

  test.each([1, 3, 9])('hold what differs, from a base of any size, at level %i', async (level) => {
    const { base, plain } = changed(MiB);
    for (const [other, most] of [
      [base, 4096],
      [base.subarray(0, MiB / 2), MiB / 2 + 8192],
      [Buffer.concat([randomBytes(700_001), base, randomBytes(1)]), 4096],
      [Buffer.of(1), 2 * MiB],
    ] as const) {
      const stored = await compress(plain, other, level);
      expect(stored.length).toBeLessThan(most);
      const output = Buffer.alloc(plain.length);
      expect(asBuffer(await patchesOf().decompress(stored, other, output)).equals(plain)).toBe(true);
    }
  });

  test('of frames of usual size refer to all of their base, and have a size and a checksum like every frame', async () => {
    const { base, plain } = changed(FRAME_SIZE);
    const stored = await compress(plain, base);
    expect(stored.length).toBeLessThan(most);
    expect(parseZstdHeader(stored)).toMatchObject({ contentBytes: BigInt(plain.length), hasChecksum: true, dictionaryId: 0 });
    expect(() => codec().inspect(stored, plain.length)).not.toThrow();
    expect(await codec().checksum(stored)).toBe(await codec().checksum(await codec().compress(plain, Buffer.alloc(5 * MiB))));
    expect((await patchesOf().decompress(stored, base, Buffer.alloc(plain.length))).length).toBe(plain.length);
  });

  test('several at once, and other frames between them, do not disturb each other', async () => {
    using _contexts = codec().use();
    const pairs = Array.from({ length: 12 }, () => changed(300_000));
    await Promise.all(
      pairs.map(async ({ base, plain }) => {
        const output = Buffer.alloc(plain.length);
        const patch = await compress(plain, base);
        const alone = Buffer.from(await codec().compress(plain, Buffer.alloc(codec().storedBound(plain.length))));
        expect(patch.length).toBeLessThan(4096);
        expect(alone.length).toBeGreaterThan(plain.length);
        expect(asBuffer(await patchesOf().decompress(patch, base, output)).equals(plain)).toBe(true);
        expect(asBuffer(await codec().decompress(alone, output)).equals(plain)).toBe(true);
      }),
    );
  });

  test('are refused with another base, and when they are damaged', async () => {
    const { base, plain } = changed(300_000);
    const stored = await compress(plain, base);
    const wrong = Buffer.from(base);
    wrong.writeUInt8(wrong.readUInt8(77) ^ 1, 77);
    const damaged = Buffer.from(stored);
    damaged.writeUInt8(damaged.readUInt8(damaged.length - 1) ^ 1, damaged.length - 1);
    const decompress = (bytes: Buffer, other: Buffer, size = plain.length): Promise<Uint8Array> =>
      patchesOf().decompress(bytes, other, Buffer.alloc(size));
    await expect(decompress(stored, wrong)).rejects.toThrow(/./);
    await expect(decompress(damaged, base)).rejects.toThrow(/./);
    await expect(decompress(stored.subarray(0, -9), base)).rejects.toThrow(/./);
    await expect(decompress(stored, base, plain.length - 1)).rejects.toThrow(/./);
    // The contexts can still be used.
    expect(asBuffer(await decompress(stored, base)).equals(plain)).toBe(true);
  });

  test('zstd of Debian reads them with --patch-from, and its own are read here', async () => {
    await using directory = await makeTemporaryDirectory();
    const [was, is, ours, theirs, back] = ['was', 'is', 'ours.zst', 'theirs.zst', 'back'].map((name) => directory.file(name));
    if (was === undefined || is === undefined || ours === undefined || theirs === undefined || back === undefined) expect.fail();
    for (const size of [5, 200_000, FRAME_SIZE]) {
      const { base, plain } = changed(size);
      await writeFile(was, base);
      await writeFile(is, plain);
      await writeFile(ours, await compress(plain, base));
      await run('zstd', ['-qdf', `--patch-from=${was}`, ours, '-o', back]);
      expect((await readFile(back)).equals(plain)).toBe(true);
      await run('zstd', ['-qf', `--patch-from=${was}`, is, '-o', theirs]);
      const output = Buffer.alloc(plain.length);
      expect(asBuffer(await patchesOf().decompress(await readFile(theirs), base, output)).equals(plain)).toBe(true);
    }
  });

  test('a base must not be empty, or look like a dictionary', () => {
    const isPossible = (base: Buffer): boolean => patchesOf().isPossible(base);
    expect(isPossible(Buffer.of(0))).toBe(true);
    expect(isPossible(Buffer.of(0x37, 0xa4, 0x30))).toBe(true);
    expect(isPossible(Buffer.alloc(0))).toBe(false);
    expect(isPossible(Buffer.of(0x37, 0xa4, 0x30, 0xec, 1))).toBe(false);
  });
});

test('other codecs lack patches', () => {
  expect(CODECS.filter(({ frames, levels }) => frames(levels?.lowest ?? 0).patches !== undefined).map(({ name }) => name)).toEqual([
    'zstd',
  ]);
});
