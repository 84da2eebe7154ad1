import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Codec } from './codecs/registry.ts';
import { codecForReading } from './decode-dump.ts';
import type { EncodedDump } from './encode-dump.ts';
import { encodeDump } from './encode-dump.ts';
import { encodeIncrement } from './encode-increment.ts';
import { FrameMap } from './frame-map.ts';
import { KnownFrames } from './known-frames.ts';
import type { ChangesReader } from './plain-reader.ts';
import { collect, overwritten, readerOf } from './testing/streams.ts';
import type { PlainPiece } from './types.ts';

const { signal } = new AbortController();
const FRAME = 4096;
const NOTHING = new KnownFrames([], 0);
const CODECS: readonly Codec[] = ['zstd', 'gzip', 'none'];

const A = randomBytes(FRAME);
const B = randomBytes(FRAME);
const C = randomBytes(FRAME);
const D = randomBytes(FRAME);
const ZEROS = Buffer.alloc(FRAME);
const TAIL = randomBytes(100);

interface Written {
  readonly dump: EncodedDump;
  readonly bytes: Buffer;
  readonly map: FrameMap;
}

async function written(dump: EncodedDump): Promise<Written> {
  const bytes = await collect(dump.stored);
  const map = dump.map();
  if (map === undefined) throw new Error('it has no map');
  return { dump, bytes, map };
}

function first(pieces: readonly PlainPiece[], codec: Codec = 'zstd'): Promise<Written> {
  return written(encodeDump(readerOf(overwritten(pieces)), { codec, frameSize: FRAME, withMap: true, signal }));
}

function next(pieces: readonly PlainPiece[], known: KnownFrames, codec: Codec = 'zstd'): Promise<Written> {
  return written(encodeIncrement(readerOf(overwritten(pieces)), { codec, frameSize: FRAME, known, signal }));
}

/** The disk of a map, with its packs by number. */
async function plainOf(map: FrameMap, packs: readonly { readonly bytes: Buffer; readonly codec: Codec }[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const entry of map) {
    if (entry.kind === 'zeros') {
      parts.push(Buffer.alloc(entry.plainBytes));
      continue;
    }
    const { pack, offset, storedBytes } = entry.place;
    const { bytes = Buffer.alloc(0), codec = 'none' } = packs[pack] ?? {};
    const plain = await codecForReading(codec).decompress(bytes.subarray(offset, offset + storedBytes), Buffer.alloc(entry.plainBytes));
    expect(createHash('sha256').update(plain).digest().equals(entry.sha256)).toBe(true);
    parts.push(Buffer.from(plain));
  }
  return Buffer.concat(parts);
}

/** The offsets and packs of the entries. */
function placesOf(map: FrameMap): string[] {
  return [...map].map((entry) =>
    entry.kind === 'zeros' ? `zeros ${entry.plainBytes}` : `${entry.place.pack}:${Math.floor(entry.place.offset / FRAME)}`,
  );
}

describe.each(CODECS)('an increment in %s', (codec) => {
  test.each(CODECS)('has just the frames that its parent in %s lacks', async (parentCodec) => {
    const parent = await first([A, B, ZEROS, ZEROS, C, TAIL], parentCodec);
    const now = [A, D, ZEROS, ZEROS, ZEROS, C, B, TAIL];
    const { dump, bytes, map } = await next(now, new KnownFrames([parent.map], 1), codec);
    const packs = [
      { bytes: parent.bytes, codec: parentCodec },
      { bytes, codec },
    ];
    expect((await plainOf(map, packs)).equals(Buffer.concat(now))).toBe(true);
    expect(dump.summary()).toMatchObject({
      codec,
      frames: 1,
      frameSize: FRAME,
      plainBytes: now.length * FRAME - FRAME + TAIL.length,
      storedBytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
    expect([...map].map((entry) => (entry.kind === 'zeros' ? entry.plainBytes : entry.place.pack))).toEqual([0, 1, 3 * FRAME, 0, 0, 0]);
  });

  test('of an unchanged disk has no bytes at all', async () => {
    const disk = [A, ZEROS, B, TAIL];
    const parent = await first(disk, codec);
    const { dump, bytes, map } = await next(disk, new KnownFrames([parent.map], 1), codec);
    expect(bytes).toHaveLength(0);
    expect(dump.summary()).toMatchObject({ frames: 0, storedBytes: 0, plainBytes: 3 * FRAME + TAIL.length });
    expect([...map]).toEqual([...parent.map]);
  });
});

test('frames that are equal among each other are stored once, also where nothing is known', async () => {
  const disk = Array.from({ length: 40 }, (_, index) => (index % 3 === 0 ? A : index % 3 === 1 ? B : ZEROS));
  const { dump, bytes, map } = await next(disk, NOTHING);
  expect(dump.summary().frames).toBe(2);
  expect((await plainOf(map, [{ bytes, codec: 'zstd' }])).equals(Buffer.concat(disk))).toBe(true);
});

test('a frame is taken from the same place first, then from anywhere, and from the first map that has it', async () => {
  const one = await first([A, B, A], 'none');
  const two = await first([C, A, D], 'none');
  const shifted = new FrameMap();
  for (const entry of two.map) shifted.push(entry.kind === 'frame' ? { ...entry, place: { ...entry.place, pack: 1 } } : entry);
  const known = new KnownFrames([one.map, shifted], 2);
  // The third A is at its own place in the first map, the second at its own in the second; B and D come from elsewhere.
  expect(placesOf((await next([A, A, A, B, D, ZEROS], known, 'none')).map)).toEqual(['0:0', '1:1', '0:2', '0:1', '1:2', `zeros ${FRAME}`]);
});

test('an entry that says another size than its data has is not used', async () => {
  const lying = new FrameMap();
  const sha256 = createHash('sha256').update(A).digest();
  lying.push({ kind: 'frame', plainBytes: FRAME - 1, sha256, place: { pack: 0, offset: 0, storedBytes: FRAME } });
  expect((await next([A], new KnownFrames([lying], 1), 'none')).dump.summary().frames).toBe(1);
});

test('the error of its source is thrown, and nothing can be said of it', async () => {
  const failing = async function* (): AsyncGenerator<PlainPiece> {
    yield A;
    throw new Error('the script failed');
  };
  const dump = encodeIncrement(readerOf(failing()), { codec: 'zstd', frameSize: FRAME, known: NOTHING, signal });
  await expect(collect(dump.stored)).rejects.toThrow('the script failed');
  expect(() => dump.summary()).toThrow('before its end');
});

describe('what has not changed', () => {
  /** Says of each piece that it is there, or how many bytes are unchanged. */
  async function changed(pieces: readonly (Buffer | number)[], known: KnownFrames): Promise<Written> {
    const left = [...pieces];
    const source: ChangesReader = {
      async read(output) {
        const piece = left.shift();
        if (typeof piece === 'number') return { unchanged: piece };
        if (piece !== undefined) output.set(piece);
        return piece?.length;
      },
    };
    return await written(encodeIncrement(source, { codec: 'zstd', frameSize: FRAME, known, signal }));
  }

  test('is in the map as it is in that of the parent, runs of zeros cut where something changed in them', async () => {
    const parent = await first([A, ZEROS, ZEROS, ZEROS, B, C, TAIL]);
    const { bytes, map, dump } = await changed([2 * FRAME, D, FRAME, B, FRAME + TAIL.length], new KnownFrames([parent.map], 1));
    const packs = [
      { bytes: parent.bytes, codec: 'zstd' as const },
      { bytes, codec: 'zstd' as const },
    ];
    expect((await plainOf(map, packs)).equals(Buffer.concat([A, ZEROS, D, ZEROS, B, C, TAIL]))).toBe(true);
    expect(dump.summary()).toMatchObject({ frames: 1, plainBytes: 6 * FRAME + TAIL.length });
  });

  test.each([
    ['a part of a frame', [FRAME - 1]],
    ['more than the parent has', [3 * FRAME]],
    ['something after what the parent has', [2 * FRAME, A, FRAME]],
  ])('is refused if it is %s', async (_, pieces) => {
    const parent = await first([A, B]);
    await expect(changed(pieces, new KnownFrames([parent.map], 1))).rejects.toThrow('are not whole frames of the parent');
  });

  test('is refused where there is no parent', async () => {
    await expect(changed([FRAME], NOTHING)).rejects.toThrow('are not whole frames of the parent');
  });
});

describe('a disk with more frames than a frame map may have', () => {
  test.each(['encodeDump', 'encodeIncrement'])('fails when the first one too many comes, not at its end (%s)', async (encoder) => {
    let read = 0;
    const options = { codec: 'none', frameSize: FRAME, maxMapEntries: 3, concurrency: 1, signal } as const;
    const endless = {
      async read(output: Uint8Array): Promise<number> {
        read += 1;
        output.set(randomBytes(FRAME));
        return await Promise.resolve(FRAME);
      },
    };
    const dump =
      encoder === 'encodeDump'
        ? encodeDump(endless, { ...options, withMap: true })
        : encodeIncrement(endless, { ...options, known: NOTHING });
    await expect(collect(dump.stored)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('at most 3 entries') });
    expect(read).toBeLessThan(30);
  });
});
