import { readdir } from 'node:fs/promises';

import type { WritingGuest } from '@gantry/testkit';
import { expect } from 'vitest';

import { FRAME_SIZE } from '../../src/frames/types.ts';
import { openDiskSource } from '../../src/flow/disk-source.ts';
import type { GuestControl } from '../../src/instances/inventory.ts';
import { openRun } from '../../src/runs/journal.ts';
import { openStateDirectory } from '../../src/runs/state-directory.ts';
import { selectOs } from '../../src/scripts/select.ts';
import type { SnapshotRequest } from '../../src/snapshots/provider.ts';
import { QmpClient } from '../../src/snapshots/qemu/qmp-client.ts';
import type { SnapshotConfig } from '../../src/snapshots/snapshot-config.ts';
import { parseSnapshotConfig } from '../../src/snapshots/snapshot-config.ts';
import type { SnapshotSet } from '../../src/snapshots/snapshot-set.ts';
import { takeSnapshotSet } from '../../src/snapshots/snapshot-set.ts';
import { sampleInstance } from '../sample-instance.ts';

/*
 * For tests of the provider qemu: takes snapshots of the disks of a writing guest, reads them, and checks that nothing is left.
 */

export const MiB: number = 1024 * 1024;
/** Of each disk: 2 to the power of 14 blocks. */
export const DISK_BYTES: number = 64 * MiB;
/** The names of our nodes. */
const OURS = /gantry-[0-9a-f]{12}-/;

export function qemuConfig(directory: string, more: object = {}): SnapshotConfig {
  return parseSnapshotConfig(JSON.stringify({ qemu: { scratch: directory, reserve: 1, ...more } }), 'test');
}

export function requestsOf(
  paths: readonly string[],
  track: (index: number) => SnapshotRequest['track'] = () => undefined,
): readonly SnapshotRequest[] {
  return paths.map((path, index) => ({ index, disk: { path, access: 'rw' }, instanceName: 'web1', track: track(index) }));
}

export interface Taking {
  readonly config?: SnapshotConfig;
  readonly guest?: GuestControl;
  readonly state: string;
  readonly notes?: string[];
  readonly warnings: string[];
  readonly requests: readonly SnapshotRequest[];
}

/** Disposing ends the run, too. */
export async function takeByQemu({ config, guest, state, notes, warnings, requests }: Taking): Promise<SnapshotSet> {
  const stateDirectory = await openStateDirectory(state);
  const run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
  const set = await takeSnapshotSet({
    mode: 'qemu',
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

/** Nothing of ours but marks is left in the QEMU, and the guest writes on. */
export async function expectUntouched(directory: string, guest: WritingGuest, qmp: string): Promise<void> {
  await guest.reaches(guest.written() + 3);
  expect(await readdir(directory)).toEqual([]);
  await using client = await QmpClient.connect(qmp, { timeoutMs: 60_000, signal: new AbortController().signal });
  expect(await client.execute('query-block-exports')).toEqual([]);
  expect(JSON.stringify(await client.execute('query-named-block-nodes', { flat: true }))).not.toMatch(OURS);
  expect(JSON.stringify(await client.execute('query-block'))).not.toMatch(OURS);
  // Else it would say that one runs.
  await client.execute('nbd-server-start', { addr: { type: 'unix', data: { path: `${directory}.sock` } } });
  await client.execute('nbd-server-stop');
}
