import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { DiskRange } from './changed-frames.ts';
import { ChangedFrames, RangesOutOfOrder } from './changed-frames.ts';
import { ChangedReader } from './changed-reader.ts';
import { Framer } from './framer.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { ChangesReader, PartsReader } from './plain-reader.ts';

const { signal } = new AbortController();
const FRAME = 16;

/** Reads a disk in memory, a few bytes at once. */
function partsOf(disk: Uint8Array): PartsReader {
  let [at, end] = [0, disk.length];
  return {
    select(offset, length) {
      [at, end] = [offset, offset + length];
    },
    async read(output) {
      const bytes = disk.subarray(at, Math.min(end, at + Math.min(7, output.length)));
      output.set(bytes);
      at += bytes.length;
      return bytes.length === 0 ? undefined : bytes.length;
    },
  };
}

async function* inOrder(ranges: readonly DiskRange[]): AsyncGenerator<DiskRange, void, undefined> {
  yield* ranges;
}

/** Ranges in order that do not overlap, some empty, some beyond the end of the disk. */
const ranges = fc.array(fc.tuple(fc.nat({ max: 60 }), fc.nat({ max: 40 })), { maxLength: 8 }).map((gaps) =>
  gaps.map(([, length], index) => ({
    offset: gaps.slice(0, index + 1).reduce((at, [gap], before) => at + gap + (before < index ? (gaps[before]?.[1] ?? 0) : 0), 0),
    length,
  })),
);

test('what has changed is read, frame by frame, and everything else is passed over in whole frames', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), ranges, fc.infiniteStream(fc.nat({ max: 255 })), async (before, said, bytes) => {
      const disk = Uint8Array.from(before);
      for (const { offset, length } of said)
        for (let at = offset; at < Math.min(disk.length, offset + length); at += 1) disk[at] = bytes.next().value ?? 0;
      const changed = await ChangedFrames.collect(FRAME, disk.length, inOrder(said));
      const memory = new MemoryBudget(1000).share();
      const after: number[] = [];
      const read: DiskRange[] = [];
      for await (const frame of new Framer(FRAME, FRAME, memory, signal).frames(new ChangedReader(partsOf(disk), changed))) {
        const offset = after.length;
        expect(offset % FRAME).toBe(0);
        if ('unchanged' in frame) after.push(...before.subarray(offset, offset + frame.unchanged));
        else {
          read.push({ offset, length: 'count' in frame ? frame.count * frame.plainBytes : frame.plainBytes });
          if ('count' in frame) after.push(...new Uint8Array(frame.count * frame.plainBytes));
          else after.push(...frame.buffer.subarray(0, frame.plainBytes));
          if ('buffer' in frame) memory.release(frame.buffer);
        }
      }
      expect(after).toEqual([...disk]);
      // No frame is read in which nothing changed.
      for (const { offset, length } of read)
        expect(said.some((range) => range.length > 0 && range.offset < offset + length && range.offset + range.length > offset)).toBe(true);
      expect(read.reduce((total, { length }) => total + length, 0)).toBe(changed.changedBytes);
    }),
  );
});

test('a sample has each unchanged frame at most once, all of them if it is large enough, and none that changed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: 400 }),
      ranges,
      fc.nat({ max: 30 }),
      fc.infiniteStream(fc.nat()),
      async (bytes, said, count, numbers) => {
        const changed = await ChangedFrames.collect(FRAME, bytes, inOrder(said));
        const frames = [...changed.unchanged()].flatMap(({ offset, length }) =>
          Array.from({ length: Math.ceil(length / FRAME) }, (_, index) => offset + index * FRAME),
        );
        const sample = changed.sample(count, (below) => (numbers.next().value ?? 0) % below);
        expect(sample).toHaveLength(Math.min(count, frames.length));
        expect(frames).toEqual(expect.arrayContaining([...sample]));
        expect([...new Set(sample)].toSorted((a, b) => a - b)).toEqual(sample);
      },
    ),
  );
});

test('ranges that are not in order are not believed', async () => {
  const said = [
    { offset: 32, length: 8 },
    { offset: 39, length: 1 },
  ];
  await expect(ChangedFrames.collect(FRAME, 100, inOrder(said))).rejects.toThrow(RangesOutOfOrder);
});

test('something unchanged within a frame is a mistake of its reader', async () => {
  const pieces = [3, { unchanged: FRAME }];
  const source: ChangesReader = { read: async () => pieces.shift() };
  const frames = new Framer(FRAME, FRAME, new MemoryBudget(1000).share(), signal).frames(source);
  await expect(Array.fromAsync(frames)).rejects.toThrow(new RangeError('something unchanged begins at byte 3 of a frame'));
});
