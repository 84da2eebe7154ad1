import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Codec } from './codecs/registry.ts';
import { codecNamed } from './codecs/registry.ts';
import { PackOutput } from './pack-output.ts';
import { collect } from './testing/streams.ts';

const PLAIN = [randomBytes(3000), Buffer.from('a text. '.repeat(5000)), randomBytes(1), randomBytes(70_000)];

async function compress(codec: Codec, plain: Uint8Array): Promise<Uint8Array> {
  const { frames, levels } = codecNamed(codec);
  const made = frames(levels?.usual ?? 0);
  return Buffer.from(await made.compress(plain, new Uint8Array(made.storedBound(plain.length))));
}

/** A pack of frames, and where they are in it. */
async function packOf(codec: Codec, frames: readonly Uint8Array[]) {
  using output = new PackOutput(codecNamed(codec).frames(0));
  const offsets: number[] = [];
  const stored: Uint8Array[] = [];
  for (const plain of frames) {
    const frame = await compress(codec, plain);
    const { offset, digested } = output.frame(frame, plain.length);
    offsets.push(offset);
    stored.push(frame);
    await digested;
  }
  stored.push(await collect(output.trailer()));
  return { bytes: Buffer.concat(stored), offsets, totals: await output.totals() };
}

const TOOLS: readonly (readonly [Codec, string, readonly string[]])[] = [
  ['zstd', 'zstd', ['-dcq']],
  ['gzip', 'gzip', ['-dc']],
  ['none', 'cat', []],
];

describe.each(TOOLS)('a pack in %s', (codec, tool, args) => {
  test('holds frames of any size, which the standard tool reads one after another or alone', async () => {
    const { bytes, offsets, totals } = await packOf(codec, PLAIN);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(totals).toEqual({ frames: PLAIN.length, storedBytes: bytes.length, sha256 });
    const read = (input: Uint8Array): Buffer => execFileSync(tool, args, { input, maxBuffer: 1024 ** 2 });
    expect(read(bytes).equals(Buffer.concat(PLAIN))).toBe(true);
    const [first = 0, second = 0, third = 0] = offsets;
    expect(first).toBe(0);
    expect(read(bytes.subarray(second, third)).equals(PLAIN[1] ?? Buffer.alloc(0))).toBe(true);
  });

  test('without frames has no bytes', async () => {
    expect((await packOf(codec, [])).bytes).toHaveLength(0);
  });
});

test('the seek table of a pack in zstd lists the sizes of its frames', async () => {
  const { bytes, offsets } = await packOf('zstd', PLAIN);
  // zstd's seekable format: the number of frames, a byte of flags and the magic number are last; entries of 8 bytes before them.
  expect(bytes.readUInt32LE(bytes.length - 4)).toBe(0x8f92eab1);
  expect(bytes.readUInt32LE(bytes.length - 9)).toBe(PLAIN.length);
  const entries = bytes.subarray(bytes.length - 9 - PLAIN.length * 8);
  expect(PLAIN.map((_plain, index) => entries.readUInt32LE(index * 8 + 4))).toEqual(PLAIN.map(({ length }) => length));
  expect(entries.readUInt32LE(0)).toBe(offsets[1]);
});
