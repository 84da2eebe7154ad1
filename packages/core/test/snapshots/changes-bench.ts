import { createHash } from 'node:crypto';

import { connectNbd } from '@gantry/nbd';
import { expect } from 'vitest';

import type { ChangeMark } from '../../src/snapshots/provider.ts';
import type { SnapshotSet } from '../../src/snapshots/snapshot-set.ts';
import { contentOf } from './snapshot-bench.ts';

/*
 * For tests of what snapshots say of changes since earlier ones.
 */

export function marksOf(set: SnapshotSet): readonly ChangeMark[] {
  return set.snapshots.flatMap(({ changes }) => changes?.mark ?? []);
}

/** Why everything must be read, of each disk for which that is so. */
export function reasons(set: SnapshotSet): readonly string[] {
  return set.snapshots.flatMap(({ changes }) => (changes?.since.known === false ? changes.since.reason : []));
}

export async function contents(set: SnapshotSet): Promise<readonly Buffer[]> {
  return await Promise.all(set.snapshots.map((_, index) => contentOf(set, index)));
}

/** Applies the changes to the copies, and compares them with all that the snapshots have. @returns the most that was read of a disk, bytes */
export async function expectSameAfterChanges(set: SnapshotSet, copies: readonly Buffer[]): Promise<number> {
  const read: number[] = [];
  for (const [index, copy] of copies.entries()) {
    read.push(await applyChanges(set, index, copy));
    expect(digest(copy), `disk ${index}`).toBe(digest(await contentOf(set, index)));
  }
  return Math.max(...read);
}

/** Reads into `content` what a snapshot says has changed. @returns how much that was, bytes */
async function applyChanges(set: SnapshotSet, index: number, content: Buffer): Promise<number> {
  const { changes, nbd } = set.snapshots[index] ?? {};
  if (changes?.since.known !== true || nbd === undefined) throw new Error(`nothing is known of disk ${index}: ${reasons(set).join(', ')}`);
  await using client = await connectNbd({ address: { path: nbd.socket }, exportName: nbd.exportName, timeoutMs: 60_000 });
  let bytes = 0;
  for await (const { offset, length } of changes.since.ranges(new AbortController().signal)) {
    await client.read(offset, content.subarray(offset, offset + length));
    bytes += length;
  }
  return bytes;
}

function digest(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
