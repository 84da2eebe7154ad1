import { readdir } from 'node:fs/promises';

import type { WritingGuest } from '@gantry/testkit';
import { expect } from 'vitest';

import type { SnapshotRequest } from '../../src/snapshots/provider.ts';
import { QmpClient } from '../../src/snapshots/qemu/qmp-client.ts';
import type { SnapshotConfig } from '../../src/snapshots/snapshot-config.ts';
import { parseSnapshotConfig } from '../../src/snapshots/snapshot-config.ts';

/*
 * For tests of the provider qemu: what is asked of it, and that nothing of it is left.
 */

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
