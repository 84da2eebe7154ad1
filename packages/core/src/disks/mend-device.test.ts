import { createHash, randomBytes } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { DigestedPart, Mended } from './mend-device.ts';
import { mendDevice } from './mend-device.ts';

const MiB = 1024 * 1024;

/** The first part takes longest to compare. */
const PARTS = [8 * MiB, ...Array.from({ length: 40 }, () => MiB)].map((size) => randomBytes(size));

interface Attempt {
  readonly budget: MemoryBudget;
  /** Called before the data of a part is there. */
  readonly loading?: (part: number) => void;
}

async function mend(path: string, { budget, loading }: Attempt): Promise<Mended> {
  const parts = PARTS.map((plain, number): DigestedPart => ({
    plainBytes: plain.length,
    sha256: createHash('sha256').update(plain).digest(),
    loadBytes: plain.length,
    load: async (memory) => {
      await new Promise((resolve) => void setImmediate(resolve));
      loading?.(number);
      memory.set(plain);
      return memory.subarray(0, plain.length);
    },
  }));
  const { signal } = new AbortController();
  const others = { signal, forceInUse: false, onTouch: () => undefined, onProgress: () => undefined };
  return await mendDevice(path, partsOf(parts), { budget, ...others });
}

async function* partsOf(parts: readonly DigestedPart[]): AsyncGenerator<DigestedPart> {
  yield* parts;
}

test('what is loaded counts against the memory of all disks, and parts that are loaded early do not keep it from the first', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = directory.file('disk.img');
  const disk = Buffer.concat(PARTS);
  await writeFile(path, '');
  await truncate(path, disk.length);
  const budget = new MemoryBudget(9 * MiB);
  let mostBytes = 0;
  const loaded: number[] = [];
  const mended = await mend(path, {
    budget,
    loading: (part) => {
      loaded.push(part);
      mostBytes = Math.max(mostBytes, budget.usedBytes);
    },
  });
  expect((await readFile(path)).equals(disk)).toBe(true);
  expect(mended).toEqual({ comparedBytes: disk.length, readBytes: disk.length, writtenBytes: disk.length });
  expect(loaded).toHaveLength(PARTS.length);
  // A share without a buffer gets one at once.
  expect(mostBytes).toBeGreaterThanOrEqual(8 * MiB);
  expect(mostBytes).toBeLessThanOrEqual(9 * MiB);
  expect(budget.usedBytes).toBe(0);
});

test('it ends when a part cannot be loaded, although others wait for memory', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = directory.file('disk.img');
  await writeFile(path, '');
  await truncate(path, 48 * MiB);
  const loading = (part: number): void => {
    if (part === 1) throw new Error('gone');
  };
  await expect(mend(path, { budget: new MemoryBudget(MiB), loading })).rejects.toThrow('gone');
});
