import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import type { BaseFrames } from './frame-patcher.ts';
import { FramePatcher } from './frame-patcher.ts';
import { MemoryBudget } from './memory-budget.ts';
import { zstdCodec } from './zstd-codec.ts';

const { signal } = new AbortController();
const FRAME = 100_000;
const CODEC = zstdCodec(3);
const direct = <T>(work: () => Promise<T>): Promise<T> => work();

interface Patching {
  readonly compress: (plain: Uint8Array, start?: number) => Promise<'patch' | 'frame'>;
  readonly budget: MemoryBudget;
  /** How many bases were read, and how many at once at the most. */
  readonly reads: { count: number; atOnce: number };
}

/** Patches of one base, which is at every place. */
function patching(base: Uint8Array, { limit = 10 * FRAME, plainBytes = base.length } = {}): Patching {
  const budget = new MemoryBudget(limit);
  const reads = { count: 0, atOnce: 0 };
  let now = 0;
  const bases: BaseFrames = {
    near: () => ({ pack: 0, offset: 0, storedBytes: FRAME, plainBytes }),
    async read(_base, room) {
      reads.count += 1;
      reads.atOnce = Math.max(reads.atOnce, (now += 1));
      await new Promise(setImmediate);
      now -= 1;
      room.set(base);
      return room.subarray(0, base.length);
    },
  };
  const patcher = new FramePatcher({ codec: CODEC, frameSize: FRAME, bases, budget, signal });
  return {
    budget,
    reads,
    async compress(plain, start = 0) {
      const output = Buffer.alloc(CODEC.storedBound(plain.length));
      const { stored, base: from } = await patcher.compress({ start, plain, output }, direct);
      expect(stored.buffer).toBe(output.buffer);
      return from === undefined ? 'frame' : 'patch';
    },
  };
}

test('at most half of the bytes of the whole frame are worth a patch', async () => {
  const base = randomBytes(FRAME);
  const { compress } = patching(base);
  const withNew = (bytes: number): Buffer => Buffer.concat([randomBytes(bytes), base.subarray(bytes)]);
  expect(await compress(withNew(FRAME * 0.45))).toBe('patch');
  expect(await compress(withNew(FRAME * 0.55))).toBe('frame');
});

test('nothing is read for a frame of few stored bytes, or a base that is larger than a frame', async () => {
  const base = randomBytes(FRAME);
  const [one, other] = [patching(base), patching(base, { plainBytes: FRAME + 1 })];
  expect(await one.compress(Buffer.concat([base.subarray(0, 16_000), Buffer.alloc(FRAME - 16_000, 'a')]))).toBe('frame');
  expect(await other.compress(base)).toBe('frame');
  expect([one.reads.count, other.reads.count]).toEqual([0, 0]);
});

test('where patches are in vain, few frames more are tried, until one is worth it', async () => {
  const base = randomBytes(FRAME);
  const { compress, reads } = patching(base);
  for (let frame = 0; frame < 8 + 64; frame += 1) expect(await compress(randomBytes(FRAME))).toBe('frame');
  expect(reads.count).toBe(8 + 8);
  const kinds = [];
  for (let frame = 0; frame < 16; frame += 1) kinds.push(await compress(base));
  expect(kinds.indexOf('patch')).toBe(7);
  expect(kinds.slice(7)).toEqual(Array.from({ length: 9 }, () => 'patch'));
});

test('bases need memory of the budget alone, and each gets some in the end', async () => {
  const base = randomBytes(FRAME);
  const { compress, budget, reads } = patching(base, { limit: 5 * FRAME });
  const kinds = await Promise.all(Array.from({ length: 20 }, (_, start) => compress(base, start)));
  expect(kinds).toEqual(Array.from({ length: 20 }, () => 'patch'));
  expect(reads).toEqual({ count: 20, atOnce: 2 });
  expect(budget.usedBytes).toBe(0);
});
