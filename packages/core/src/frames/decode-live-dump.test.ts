import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { decodeLiveDump } from './decode-live-dump.ts';
import { encodeDump } from './encode-dump.ts';
import type { FinishedDump } from './frame-plan.ts';
import { MemoryBudget } from './memory-budget.ts';
import { collect, inChunks, readerOf } from './testing/streams.ts';
import { FRAME_SIZE } from './types.ts';

const { signal } = new AbortController();

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function encode(plain: Uint8Array): Promise<{ readonly stored: Buffer; readonly made: FinishedDump }> {
  const encoder = encodeDump(readerOf(once(plain)), { codec: 'zstd', signal });
  const stored = await collect(encoder.stored);
  return { stored, made: encoder.summary() };
}

function decode(stored: Uint8Array, made: FinishedDump, chunk = 70_000): Promise<Buffer> {
  return collect(decodeLiveDump(inChunks(stored, chunk), { made: async () => made, budget: new MemoryBudget(2 ** 26), signal }));
}

function noise(bytes: number): Buffer {
  return createHash('shake256', { outputLength: bytes }).update('noise').digest();
}

describe('a dump that is read while it is written', () => {
  test.each([
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.of(7)],
    ['complete frames of zeros, and a shorter one', Buffer.alloc(3 * FRAME_SIZE + 9)],
    ['noise, text and zeros', Buffer.concat([noise(FRAME_SIZE + 5), Buffer.alloc(FRAME_SIZE, 'text'), Buffer.alloc(2 * FRAME_SIZE)])],
    ['exactly one frame', noise(FRAME_SIZE)],
  ])('of %s is decoded unchanged', async (_, plain) => {
    const { stored, made } = await encode(plain);
    for (const chunk of [1000, 70_000, stored.length + 1]) expect((await decode(stored, made, chunk)).equals(plain)).toBe(true);
  });

  test('is damaged if it ends early, continues after its end, or differs from what its writer says', async () => {
    const { stored, made } = await encode(noise(FRAME_SIZE + 100));
    const damaged = { code: 'DUMP_DAMAGED' };
    for (const length of [0, 3, 9, 1000, FRAME_SIZE, stored.length - 60, stored.length - 1]) {
      await expect(decode(stored.subarray(0, length), made)).rejects.toMatchObject(damaged);
    }
    await expect(decode(Buffer.concat([stored, stored]), made)).rejects.toMatchObject(damaged);
    for (const wrong of [{ frames: 3 }, { plainBytes: 1 }, { storedBytes: 1 }, { sha256: '0'.repeat(64) }]) {
      await expect(decode(stored, { ...made, ...wrong })).rejects.toMatchObject(damaged);
    }
  });

  test('has no frame after a short one, and no frame above the frame size', async () => {
    const [short, other] = [await encode(noise(10)), await encode(noise(20))];
    const joined = Buffer.concat([short.stored.subarray(0, short.stored.length - 25), other.stored]);
    await expect(decode(joined, other.made)).rejects.toMatchObject({
      code: 'DUMP_DAMAGED',
      message: expect.stringMatching(/another frame follows a short one/),
    });
    const large = encodeDump(readerOf(once(noise(2 * FRAME_SIZE))), { codec: 'zstd', frameSize: 2 * FRAME_SIZE, signal });
    const stored = await collect(large.stored);
    await expect(decode(stored, large.summary())).rejects.toMatchObject({
      message: expect.stringMatching(/it declares 8388608 plain bytes, expected 0 to 4194304/),
    });
  });
});
