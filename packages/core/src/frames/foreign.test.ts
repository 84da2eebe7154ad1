import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import { makeTemporaryDirectory, pseudoRandom } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { decodeDump } from './decode-dump.ts';
import { collect, inChunks } from './testing/streams.ts';
import type { Codec } from './codecs/registry.ts';

const run = promisify(execFile);
const { signal } = new AbortController();

/** Some MiB: text, zeros and noise. */
const PLAIN = Buffer.concat([
  Buffer.from('what an old tool wrote\n'.repeat(40_000)),
  Buffer.alloc(3_000_000),
  ...pseudoRandom('noise', 2_000_000),
]);

function decode(stored: Uint8Array, codec: Codec, chunkSize = 70_000): Promise<Buffer> {
  return collect(decodeDump(inChunks(stored, chunkSize), { codec, framed: undefined, signal }));
}

async function made(shell: string): Promise<Buffer> {
  await using directory = await makeTemporaryDirectory();
  await mkdir(directory.file('dict'));
  await writeFile(directory.file('plain'), PLAIN);
  await run('sh', ['-euc', shell], { cwd: directory.path });
  return await readFile(directory.file('out'));
}

const skippable = (bytes: number): Buffer => {
  const frame = Buffer.alloc(8 + bytes, 7);
  frame.writeUInt32LE(0x184d2a53, 0);
  frame.writeUInt32LE(bytes, 4);
  return frame;
};

function changedAt(stored: Buffer, at: number, byte: number): Buffer {
  stored.writeUInt8(byte, at);
  return stored;
}

describe('dumps that the standard tools make are read', () => {
  test.each([
    ['zstd', 'zstd -q plain -o out'],
    ['zstd', 'zstd -q -T0 -1 plain -o out'],
    ['zstd', 'zstd -q -19 --long=27 plain -o out'],
    ['zstd', 'zstd -q --no-check < plain > out'],
    ['zstd', 'head -c 1000000 plain | zstd -q > out; tail -c +1000001 plain | zstd -q -9 >> out'],
    ['zstd', 'pzstd -q -p 4 plain -o out'],
    ['gzip', 'gzip -1 < plain > out'],
    ['gzip', 'gzip -9 plain; mv plain.gz out'],
    ['gzip', 'pigz -p 4 -b 128 < plain > out'],
    ['gzip', 'head -c 1000000 plain | gzip > out; tail -c +1000001 plain | gzip >> out'],
    ['gzip', 'gzip < plain > out; head -c 10240 /dev/zero >> out'],
    ['gzip', `python3 -c 'import gzip,sys; gzip.open("out","wb").write(open("plain","rb").read())'`],
    ['none', 'cp plain out'],
  ] as const)('%s: %s', async (codec, shell) => {
    const stored = await made(shell);
    expect((await decode(stored, codec)).equals(PLAIN)).toBe(true);
    expect((await decode(stored, codec, 1_000_003)).equals(PLAIN)).toBe(true);
  });

  test('zstd frames with skippable frames before, between and after them', async () => {
    const [a, b] = [PLAIN.subarray(0, 100_000), PLAIN.subarray(100_000, 200_000)];
    const stored = Buffer.concat([skippable(0), zstdCompressSync(a), skippable(300_000), skippable(5), zstdCompressSync(b), skippable(1)]);
    for (const chunkSize of [1000, 1_000_000]) {
      expect((await decode(stored, 'zstd', chunkSize)).equals(PLAIN.subarray(0, 200_000))).toBe(true);
    }
  });

  test('a gzip member with all possible fields', async () => {
    const member = gzipSync(Buffer.from('plain'));
    const header = Buffer.from([0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 1, 2, 3, 4, 2, 3]);
    const fields = Buffer.concat([Buffer.from([3, 0, 9, 9, 9]), Buffer.from('a name\0a comment\0'), Buffer.from([1, 2])]);
    const stored = Buffer.concat([header, fields, member.subarray(10), member]);
    for (const chunkSize of [1, 3, 1000]) expect((await decode(stored, 'gzip', chunkSize)).toString()).toBe('plainplain');
  });
});

describe('an incomplete dump is an error, at every length', () => {
  const plain = Buffer.from('some data, '.repeat(50));
  test.each([
    ['zstd', zstdCompressSync(plain)],
    ['zstd', Buffer.concat([zstdCompressSync(plain), skippable(5), zstdCompressSync(plain)])],
    ['gzip', gzipSync(plain)],
    ['gzip', Buffer.concat([gzipSync(plain), gzipSync(plain)])],
  ] as const)('%s', async (codec, stored) => {
    const complete = new Set([plain.length, 2 * plain.length]);
    for (let length = 0; length < stored.length; length += 1) {
      const outcome = await decode(stored.subarray(0, length), codec, 10).catch((error: unknown) => error);
      // If it ends between two frames or members, it is a complete file that is shorter.
      if (Buffer.isBuffer(outcome)) expect(complete).toContain(outcome.length);
      else expect(outcome).toMatchObject({ code: 'DUMP_DAMAGED' });
    }
    expect(complete).toContain((await decode(stored, codec, 10)).length);
  });
});

describe('damaged data and other formats are errors', () => {
  test.each([
    ['zstd', 'garbage after the last frame', Buffer.concat([zstdCompressSync(PLAIN), Buffer.from('garbage')])],
    ['zstd', 'zeros after the last frame', Buffer.concat([zstdCompressSync(PLAIN), Buffer.alloc(512)])],
    ['zstd', 'a gzip file', gzipSync(PLAIN)],
    ['zstd', 'plain data', PLAIN],
    ['zstd', 'an empty file', Buffer.alloc(0)],
    ['zstd', 'only a skippable frame', skippable(100)],
    ['gzip', 'garbage after the last member', Buffer.concat([gzipSync(PLAIN), Buffer.from('garbage')])],
    ['gzip', 'garbage after zeros', Buffer.concat([gzipSync(PLAIN), Buffer.alloc(300_000), Buffer.from('garbage')])],
    ['gzip', 'a member with another compression method', changedAt(gzipSync(PLAIN), 2, 7)],
    ['gzip', 'a member with a reserved flag', changedAt(gzipSync(PLAIN), 3, 0x20)],
    ['gzip', 'a zstd file', zstdCompressSync(PLAIN)],
    ['gzip', 'an empty file', Buffer.alloc(0)],
  ] as const)('%s: %s', async (codec, _title, stored) => {
    await expect(decode(stored, codec)).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
    await expect(decode(stored, codec, 10_000_000)).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
  });

  test.each([
    ['checksum', 8],
    ['size', 4],
  ])('gzip: a wrong %s at the end of a member, the first of two or the last', async (what, fromEnd) => {
    const plain = Buffer.from('some data that a checksum covers, '.repeat(20));
    const member = gzipSync(plain);
    const changed = Buffer.from(member);
    changed.writeUInt32LE((changed.readUInt32LE(member.length - fromEnd) ^ 1) >>> 0, member.length - fromEnd);
    for (const stored of [changed, Buffer.concat([changed, member]), Buffer.concat([member, changed])]) {
      await expect(decode(stored, 'gzip')).rejects.toMatchObject({
        code: 'DUMP_DAMAGED',
        message: expect.stringContaining(`the ${what} of a gzip member is wrong`),
      });
    }
  });

  test.each(['zstd', 'gzip'] as const)('%s: a flipped bit is found, or changes nothing', async (codec) => {
    const plain = Buffer.from('some data that a checksum covers, '.repeat(20));
    const stored = codec === 'zstd' ? zstdCompressSync(plain, { params: { 201: 1 } }) : gzipSync(plain);
    for (let bit = 0; bit < stored.length * 8; bit += 1) {
      const flipped = Buffer.from(stored);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const outcome = await decode(flipped, codec).catch((error: unknown) => error);
      if (Buffer.isBuffer(outcome)) expect(outcome.equals(plain) || isNotZstd(flipped)).toBe(true);
      else expect(outcome).toBeInstanceOf(Error);
    }
  });

  /** The bit turned it into a skippable frame: then there is no frame, and no data that could be wrong. */
  function isNotZstd(stored: Buffer): boolean {
    return stored.readUInt32LE(0) !== 0xfd2fb528;
  }
});

describe('valid dumps that cannot be read here are reported as such', () => {
  test.each([
    ['a window above 128 MiB', 'zstd -q --long=28 < plain > out', /window of 268435456 bytes/],
    [
      'a dictionary',
      'split -b 4000 -d -a 4 plain dict/ && zstd -q --train dict/* --maxdict=20000 -o d && head -c 1000 plain | zstd -q -D d > out',
      /dictionary/,
    ],
  ])('%s', async (_title, shell, message) => {
    const stored = await made(shell);
    await expect(decode(stored, 'zstd')).rejects.toMatchObject({ code: 'CODEC_UNKNOWN', message: expect.stringMatching(message) });
  });
});
