import { expect } from 'vitest';

import { FRAME_SIZE } from '../../src/frames/types.ts';
import { openDiskSource } from '../../src/flow/disk-source.ts';
import type { GuestControl } from '../../src/instances/inventory.ts';
import { openRun } from '../../src/runs/journal.ts';
import { openStateDirectory } from '../../src/runs/state-directory.ts';
import { selectOs } from '../../src/scripts/select.ts';
import type { SnapshotRequest } from '../../src/snapshots/provider.ts';
import type { SnapshotMode } from '../../src/snapshots/registry.ts';
import type { SnapshotConfig } from '../../src/snapshots/snapshot-config.ts';
import type { SnapshotSet } from '../../src/snapshots/snapshot-set.ts';
import { takeSnapshotSet } from '../../src/snapshots/snapshot-set.ts';
import { sampleInstance } from '../sample-instance.ts';

/*
 * For tests of providers whose snapshots are read over NBD: takes them, and reads what they show.
 */

export const MiB: number = 1024 * 1024;
/** Of each disk: 2 to the power of 14 blocks. */
export const DISK_BYTES: number = 64 * MiB;

export interface Taking {
  readonly mode: SnapshotMode;
  readonly config?: SnapshotConfig;
  readonly guest?: GuestControl;
  readonly state: string;
  readonly notes?: string[];
  readonly warnings: string[];
  readonly requests: readonly SnapshotRequest[];
}

/** Takes snapshots in a run of their own, which disposing them ends, too. */
export async function takeInRun({ mode, config, guest, state, notes, warnings, requests }: Taking): Promise<SnapshotSet> {
  const stateDirectory = await openStateDirectory(state);
  const run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
  const set = await takeSnapshotSet({
    mode,
    config,
    guest,
    instanceName: 'web1',
    requests,
    run,
    warn: (message) => warnings.push(message),
    stage: (message) => notes?.push(message),
    signal: new AbortController().signal,
  }).catch(async (error: unknown) => {
    await run[Symbol.asyncDispose]();
    throw error;
  });
  return {
    ...set,
    async [Symbol.asyncDispose]() {
      await set[Symbol.asyncDispose]();
      await run[Symbol.asyncDispose]();
    },
  };
}

/** What the built-in definition `raw` reads of a snapshot of `DISK_BYTES`. */
export async function contentOf(set: SnapshotSet, index: number, reading: AbortController = new AbortController()): Promise<Buffer> {
  const view = set.snapshots[index];
  if (view === undefined) throw new Error('no view');
  const os = await selectOs('raw', { searchPath: [] });
  const instance = sampleInstance({ disks: set.snapshots.map(() => ({ path: '/nowhere', access: 'rw' })) });
  await using source = openDiskSource(os, { instance, disk: index, view, diskBytes: DISK_BYTES, signal: reading.signal });
  const content = Buffer.alloc(DISK_BYTES);
  let at = 0;
  for (;;) {
    const piece = await source.read(content.subarray(at, at + FRAME_SIZE));
    if (piece === undefined) break;
    at += typeof piece === 'number' ? piece : piece.zeros;
    reading.signal.dispatchEvent(new Event('piece'));
  }
  expect(at).toBe(DISK_BYTES);
  return content;
}
