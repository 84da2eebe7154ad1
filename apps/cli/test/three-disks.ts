import { makeRandomFile, makeSparseFile, sha256File } from '@gantry/testkit';
import { expect } from 'vitest';
import type { Outcome, Workbench } from './workbench.ts';
import { lastLine } from './workbench.ts';

const MIB = 1024 * 1024;
const SIZES = [23 * MIB + 512, 64 * MIB, 70_000];

/** Waits for a command that must succeed. @returns the last line of its stdout */
export async function ok(running: Promise<Outcome>): Promise<string> {
  const { exitCode, stdout, stderr } = await running;
  expect(exitCode, stderr).toBe(0);
  return lastLine(stdout);
}

/** Two instances of three disks each: the source's are random, half empty, and small; the target's are empty. */
export async function makeThreeDisks(bench: Workbench): Promise<{ readonly source: string; readonly target: string }> {
  const [first = 0, second = 0, third = 0] = SIZES;
  await makeRandomFile(bench.file('a0.img'), first, 'a0');
  await makeSparseFile(bench.file('a1.img'), second, [{ offset: 9 * MIB, bytes: 17 * MIB, seed: 'a1' }]);
  await makeRandomFile(bench.file('a2.img'), third, 'a2');
  for (const [index, bytes] of SIZES.entries()) await makeSparseFile(bench.file(`b${index}.img`), bytes);
  return {
    source: await bench.describeInstance('a.example.com', { disks: ['a0.img', 'a1.img', 'a2.img'] }),
    target: await bench.describeInstance('b.example.com', { disks: ['b0.img', 'b1.img', 'b2.img'] }),
  };
}

export async function expectEqualDisks(bench: Workbench): Promise<void> {
  for (const index of SIZES.keys())
    expect(await sha256File(bench.file(`b${index}.img`))).toBe(await sha256File(bench.file(`a${index}.img`)));
}
