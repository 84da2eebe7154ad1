import { createHash, randomBytes } from 'node:crypto';
import { constants, crc32, gzipSync, zstdCompressSync } from 'node:zlib';

import { ALL_VARIANTS } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { decodeDump, decodeDumpByTable } from './decode-dump.ts';
import { encodeDump } from './encode-dump.ts';
import { collect, inChunks, overwritten, rangesOf, readerOf } from './testing/streams.ts';
import type { Codec } from './codecs/registry.ts';
import { CODEC_NAMES, isStoredPlain } from './codecs/registry.ts';
import type { FrameEntry } from './frame-table.ts';
import { FrameTable } from './frame-table.ts';
import type { FramedDump, PlainPiece } from './types.ts';

const { signal } = new AbortController();
const FRAME = 60;
/** Three frames with data, one of zeros, and a short one. */
const PLAIN = Buffer.concat([
  Buffer.from('what the disk held, line by line\n'.repeat(5)).subarray(0, 3 * FRAME - 20),
  Buffer.alloc(90),
  Buffer.from('end'),
]);

interface Dump {
  readonly codec: Codec;
  readonly stored: Buffer;
  readonly framed: FramedDump;
  readonly table: FrameTable;
}

/** How a dump is read: `verify` reads from start to end, `import` by the table. Exports of version 1 have no table. */
type Way = 'from its start' | 'from its start, with its table' | 'by its table';
const WAYS: readonly Way[] = ['from its start', 'from its start, with its table', 'by its table'];

async function makeDump(codec: Codec, plain = PLAIN): Promise<Dump> {
  const dump = encodeDump(readerOf(overwritten([plain])), { codec, frameSize: FRAME, signal });
  const stored = await collect(dump.stored);
  return { codec, stored, framed: dump.summary(), table: dump.table() };
}

interface Outcome {
  readonly plain: Buffer;
  readonly error: unknown;
}

function piecesIn({ codec, stored, framed, table }: Dump, way: Way): AsyncIterable<PlainPiece> {
  const options = { codec, framed, concurrency: 2, signal };
  if (way === 'by its table') return decodeDumpByTable(rangesOf(stored), { ...options, table });
  // Without a table, frames without a checksum of their own could not be checked.
  const known = way === 'from its start' && !isStoredPlain(codec) ? undefined : table;
  return decodeDump(inChunks(stored, 37), { ...options, table: known });
}

/** The plain bytes before the end or the error. */
async function decode(dump: Dump, way: Way): Promise<Outcome> {
  const parts: Buffer[] = [];
  try {
    for await (const piece of piecesIn(dump, way)) {
      parts.push(piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(piece.zeros));
    }
    return { plain: Buffer.concat(parts), error: undefined };
  } catch (error) {
    return { plain: Buffer.concat(parts), error };
  }
}

/** Reported as damage, and all bytes before it were right. */
function expectDamage({ plain, error }: Outcome, expected = PLAIN): void {
  expect(error).toMatchObject({ code: 'DUMP_DAMAGED' });
  expect(plain.equals(expected.subarray(0, plain.length))).toBe(true);
}

/** The stored bytes with a matching manifest, so that only the format itself can show the damage. */
function forged({ framed, ...dump }: Dump, stored: Buffer): Dump {
  const sha256 = createHash('sha256').update(stored).digest('hex');
  return { ...dump, stored, framed: { ...framed, storedBytes: stored.length, sha256 } };
}

/** Reads a dump without a frame table from its start. */
function decodeForged(codec: Codec, stored: Buffer, framed: FramedDump): Promise<Outcome> {
  return decode(forged({ codec, stored, framed, table: new FrameTable() }, stored), 'from its start');
}

/** Reading by the table skips zeros and the trailer: damage there does no harm, and `verify` finds it. */
function expectDamageOrAll(way: Way, outcome: Outcome, plain = PLAIN): void {
  if (way === 'by its table' && outcome.error === undefined) expect(outcome.plain.equals(plain)).toBe(true);
  else expectDamage(outcome, plain);
}

describe.each(CODEC_NAMES.flatMap((codec) => WAYS.map((way) => [codec, way] as const)))('%s, %s', (codec, way) => {
  test('every flipped bit is found before it does harm', async () => {
    const dump = await makeDump(codec);
    expect((await decode(dump, way)).plain.equals(PLAIN)).toBe(true);
    // Imports read by the table.
    const step = ALL_VARIANTS || way === 'by its table' ? 1 : 7;
    for (let bit = 0; bit < dump.stored.length * 8; bit += step) {
      const stored = Buffer.from(dump.stored);
      stored.writeUInt8(stored.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expectDamageOrAll(way, await decode({ ...dump, stored }, way));
      // If the manifest was changed too, the frames' own checksums must find it.
      const { plain, error } = await decode(forged(dump, stored), way);
      expect(error === undefined || (error instanceof Error && 'code' in error && error.code === 'DUMP_DAMAGED')).toBe(true);
      expect(plain.equals(PLAIN.subarray(0, plain.length))).toBe(true);
    }
  });

  test('a dump that ends early is found, at every length', async () => {
    const dump = await makeDump(codec);
    for (let length = 0; length < dump.stored.length; length += 1) {
      const stored = dump.stored.subarray(0, length);
      expectDamageOrAll(way, await decode({ ...dump, stored }, way));
      expectDamage(await decode(forged(dump, stored), way));
    }
  });

  test.each([
    ['a byte', (stored: Buffer) => Buffer.concat([stored, Buffer.of(0)])],
    ['itself', (stored: Buffer) => Buffer.concat([stored, stored])],
    ['a frame', (stored: Buffer) => Buffer.concat([stored, codec === 'gzip' ? gzipSync('x') : zstdCompressSync('x')])],
  ])('a dump with %s after its end is found', async (_title, extend) => {
    const dump = await makeDump(codec);
    const stored = extend(dump.stored);
    expectDamageOrAll(way, await decode({ ...dump, stored }, way));
    expectDamage(await decode(forged(dump, stored), way));
  });

  test.each<[string, (framed: FramedDump) => Partial<FramedDump>]>([
    ['plain bytes', ({ plainBytes }) => ({ plainBytes: plainBytes - 1 })],
    ['more plain bytes', ({ plainBytes }) => ({ plainBytes: plainBytes + 1 })],
    ['the frame size', () => ({ frameSize: FRAME + 1 })],
    ['an impossible frame size', () => ({ frameSize: 2 ** 40 })],
    ['frames', ({ frames }) => ({ frames: frames - 1 })],
    ['more frames', ({ frames }) => ({ frames: frames + 1 })],
    ['stored bytes', ({ storedBytes }) => ({ storedBytes: storedBytes + 1 })],
    ['SHA-256', ({ sha256 }) => ({ sha256: sha256.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) })],
  ])('a manifest with a different value (%s) is found', async (_title, change) => {
    const dump = await makeDump(codec);
    expectDamageOrAll(way, await decode({ ...dump, framed: { ...dump.framed, ...change(dump.framed) } }, way));
  });

  test('an empty dump is damage', async () => {
    const dump = await makeDump(codec);
    expectDamage(await decode({ ...dump, stored: Buffer.alloc(0) }, way));
  });

  test('swapped frames, each of them intact, are found even if the SHA-256 was changed with them', async () => {
    const [first, second] = [randomBytes(FRAME), randomBytes(FRAME)];
    const dump = await makeDump(codec, Buffer.concat([first, second]));
    const [one, other] = [dump.table.at(0)?.storedBytes ?? 0, dump.table.at(1)?.storedBytes ?? 0];
    // Random data does not compress, so both have the same size.
    expect(one).toBe(other);
    const { stored } = dump;
    const swapped = forged(dump, Buffer.concat([stored.subarray(one, 2 * one), stored.subarray(0, one), stored.subarray(2 * one)]));
    const outcome = await decode(swapped, way);
    if (way === 'from its start' && !isStoredPlain(codec)) expect(outcome.plain.equals(Buffer.concat([second, first]))).toBe(true);
    else expectDamage(outcome, Buffer.alloc(0));
  });
});

test.each(CODEC_NAMES)('%s: a dump with more data after its end is rejected, although everything before it is right', async (codec) => {
  const { stored, framed, table } = await makeDump(codec);
  async function* withMoreData(): AsyncGenerator<Uint8Array> {
    yield stored;
    yield Buffer.from('x');
  }
  await expect(collect(decodeDump(withMoreData(), { codec, framed, table, signal }))).rejects.toMatchObject({
    code: 'DUMP_DAMAGED',
    message: expect.stringContaining('more data follows its end'),
  });
});

describe.each(CODEC_NAMES)('%s: impossible numbers in a manifest are rejected before memory is allocated by them', (codec) => {
  test.each([
    ['one frame more', (framed: FramedDump) => ({ frames: framed.frames + 1 }), /6 frames, but [0-9]+ plain bytes make 5/],
    ['frames of 0 bytes', () => ({ frameSize: 0 }), /frames of 0 bytes/],
    ['half a byte', () => ({ frameSize: 60.5 }), /frames of 60.5 bytes/],
    ['frames larger than memory', () => ({ frameSize: 2 ** 40, frames: 1 }), /frames of 1099511627776 bytes/],
    ['a negative number of bytes', () => ({ plainBytes: -1 }), /for -1 plain bytes/],
    ['more bytes than can be counted', () => ({ plainBytes: 2 ** 60 }), /impossible sizes/],
  ])('%s', async (_what, change, message) => {
    const dump = await makeDump(codec);
    const { plain, error } = await decode({ ...dump, framed: { ...dump.framed, ...change(dump.framed) } }, 'from its start');
    expect(error).toMatchObject({ code: 'DUMP_DAMAGED', message: expect.stringMatching(message) });
    expect(plain).toHaveLength(0);
  });
});

test('a gzip member that decompresses to far more than a frame is not decompressed', async () => {
  const { framed, stored } = await makeDump('gzip');
  const body = gzipSync(Buffer.alloc(500_000)).subarray(10);
  const member = Buffer.concat([stored.subarray(0, 20), body]);
  member.writeUInt32LE(member.length, 16);
  const { error } = await decodeForged('gzip', member, { ...framed, frames: 1, plainBytes: FRAME });
  expect(error).toMatchObject({
    code: 'DUMP_DAMAGED',
    message: expect.stringContaining('in frame 0 at stored byte 0: it cannot be decompressed'),
  });
});

test('a gzip member that declares another size than the one of its place is not decompressed', async () => {
  const dump = await makeDump('gzip');
  const { storedBytes = 0 } = dump.table.at(0) ?? {};
  dump.stored.writeUInt32LE(FRAME + 1, storedBytes - 4);
  const { error } = await decode(dump, 'by its table');
  expect(error).toMatchObject({
    code: 'DUMP_DAMAGED',
    message: expect.stringContaining(`in frame 0 at stored byte 0: it declares ${FRAME + 1} plain bytes, expected ${FRAME}`),
  });
});

test('the message names the frame and where in the dump it starts', async () => {
  for (const codec of CODEC_NAMES) {
    const dump = await makeDump(codec);
    // A dump of only the first two frames starts with the same bytes: this gives the length of two frames.
    const two = encodeDump(readerOf(overwritten([PLAIN.subarray(0, 2 * FRAME)])), { codec, frameSize: FRAME, signal });
    let offset = 0;
    for await (const chunk of two.stored) {
      if (offset + chunk.length > dump.stored.length || !dump.stored.subarray(offset, offset + chunk.length).equals(chunk)) break;
      offset += chunk.length;
    }
    dump.stored.writeUInt8(dump.stored.readUInt8(offset + 30) ^ 1, offset + 30);
    for (const way of WAYS) {
      const { error } = await decode(dump, way);
      expect(error).toMatchObject({ code: 'DUMP_DAMAGED', message: expect.stringContaining(`in frame 2 at stored byte ${offset}:`) });
    }
  }
});

test('an uncompressed dump without checksums of its frames yields no byte, because it could be checked only at its end', async () => {
  const { framed } = await makeDump('none');
  expect(() => decodeDump(inChunks(PLAIN, 37), { codec: 'none', framed, signal })).toThrow(
    expect.objectContaining({ code: 'DUMP_DAMAGED', message: expect.stringContaining('it has 5 frames but 0 checksums') }),
  );
});

test('more or fewer checksums than frames are damage', async () => {
  const dump = await makeDump('none');
  const table = new FrameTable();
  table.push({ storedBytes: PLAIN.length, isZeros: false, checksum: crc32(PLAIN) });
  for (const way of WAYS) expectDamage(await decode({ ...dump, table }, way));
});

test('a table that lists one more frame, or a frame larger than one can be, is damage before anything is read', async () => {
  const dump = await makeDump('none');
  const [first, second, ...rest] = dump.table;
  if (first === undefined || second === undefined) throw new TypeError('there are frames');
  const tableOf = (entries: readonly FrameEntry[]): FrameTable => {
    const table = new FrameTable();
    for (const entry of entries) table.push(entry);
    return table;
  };
  const moved = { from: { ...first, storedBytes: first.storedBytes + 8 }, to: { ...second, storedBytes: second.storedBytes - 8 } };
  // Both add up to the size of the dump.
  for (const [entries, message] of [
    [[...dump.table, { storedBytes: 0, isZeros: false, checksum: 0 }], 'its frame table lists 6'],
    [[moved.from, moved.to, ...rest], 'an impossible size for frame 0'],
  ] as const) {
    const read = (): never => expect.unreachable();
    const options = { codec: dump.codec, framed: dump.framed, table: tableOf(entries), signal };
    expect(() => decodeDumpByTable(read, options)).toThrow(
      expect.objectContaining({ code: 'DUMP_DAMAGED', message: expect.stringContaining(message) }),
    );
  }
});

describe('a zstd frame that Gantry does not write is rejected, although zstd could read it', () => {
  const plain = Buffer.alloc(FRAME, 'x');
  const compress = (bytes: Buffer, params: Record<number, number> = {}, pledged = bytes.length): Buffer =>
    zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1, ...params }, pledgedSrcSize: pledged });
  const good = compress(plain);

  /** A frame header, this many empty blocks and a last one: small, but endless for a reader that waits for the last. */
  const manyBlocks = (count: number): Buffer => {
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0b0010_0100, FRAME]);
    return Buffer.concat([header, Buffer.alloc(3 * count), Buffer.from([1, 0, 0]), Buffer.alloc(4)]);
  };

  const skippable = Buffer.alloc(12);
  skippable.writeUInt32LE(0x184d2a50, 0);
  skippable.writeUInt32LE(4, 4);

  test.each([
    ['no checksum', compress(plain, { [constants.ZSTD_c_checksumFlag]: 0 }), /no checksum/],
    [
      'no content size',
      compress(plain, { [constants.ZSTD_c_contentSizeFlag]: 0 }),
      /it (does not declare its size|declares \d+ plain bytes), expected/,
    ],
    ['another size', compress(Buffer.alloc(FRAME + 1, 'x')), /it (does not declare its size|declares \d+ plain bytes), expected/],
    [
      'a size of 2^64 - 1',
      Buffer.from('28b52ffde4ffffffffffffffff0100000000000000', 'hex'),
      /it (does not declare its size|declares \d+ plain bytes), expected/,
    ],
    ['a dictionary', Buffer.concat([good.subarray(0, 4), Buffer.of((good[4] ?? 0) | 1, 7), good.subarray(5)]), /dictionary/],
    ['a reserved bit', Buffer.concat([good.subarray(0, 4), Buffer.of((good[4] ?? 0) | 8), good.subarray(5)]), /reserved/],
    ['a reserved block', Buffer.from('28b52ffd243c0700000000000000', 'hex'), /reserved/],
    ['a block above 128 KiB', Buffer.from('28b52ffd243c09001000000000000000', 'hex'), /too large/],
    ['endless blocks', manyBlocks(100_000), /longer than a frame/],
    ['a skippable frame before it', Buffer.concat([skippable, good]), /a zstd frame does not start here/],
    ['contents that end early', manyBlocks(1), /decompress|bytes/],
  ])('%s', async (_title, frame, message) => {
    const table = Buffer.alloc(8 + 8 + 9);
    table.writeUInt32LE(0x184d2a5e, 0);
    table.writeUInt32LE(17, 4);
    table.writeUInt32LE(frame.length, 8);
    table.writeUInt32LE(FRAME, 12);
    table.writeUInt32LE(1, 16);
    table.writeUInt32LE(0x8f92eab1, 21);
    const framed = { frameSize: FRAME, frames: 1, plainBytes: FRAME, storedBytes: 0, sha256: '' };
    const sound = await decodeForged('zstd', Buffer.concat([good, patched(table, good.length)]), framed);
    expect(sound.error).toBeUndefined();
    const { error } = await decodeForged('zstd', Buffer.concat([frame, table]), framed);
    expect(error).toMatchObject({ code: 'DUMP_DAMAGED', message: expect.stringMatching(message) });
  });

  function patched(table: Buffer, storedBytes: number): Buffer {
    const copy = Buffer.from(table);
    copy.writeUInt32LE(storedBytes, 8);
    return copy;
  }
});

test('a seek table that does not match the frames is rejected, although it is not needed to read the dump', async () => {
  const { framed, stored } = await makeDump('zstd');
  const table = stored.length - (8 + framed.frames * 8 + 9);
  expect(stored.readUInt32LE(table)).toBe(0x184d2a5e);
  for (let at = table; at < stored.length; at += 1) {
    const changed = Buffer.from(stored);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    const { error } = await decodeForged('zstd', changed, framed);
    expect(error).toMatchObject({
      code: 'DUMP_DAMAGED',
      message: expect.stringContaining('the seek table does not match the frames'),
    });
  }
});

test('a gzip member with a wrong length, or without a stored length, is rejected', async () => {
  const { framed, stored } = await makeDump('gzip');
  for (const length of [0, 27, stored.readUInt32LE(16) - 1, stored.readUInt32LE(16) + 1, 0xffff_ffff]) {
    const changed = Buffer.from(stored);
    changed.writeUInt32LE(length, 16);
    expectDamage(await decodeForged('gzip', changed, framed));
  }
  // A length that a frame of this size cannot have is rejected before the frame is read.
  for (const length of [0, 27, 10_000, 0xffff_ffff]) {
    const changed = Buffer.concat([stored, Buffer.alloc(20_000)]);
    changed.writeUInt32LE(length, 16);
    const { error } = await decodeForged('gzip', changed, framed);
    expect(error).toMatchObject({
      message: expect.stringContaining('in frame 0 at stored byte 0: the length in its header is impossible'),
    });
  }
  expectDamage(await decodeForged('gzip', gzipSync(PLAIN), framed));
});
