import { readFile, realpath, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

import { unescapeField } from '../../disks/kernel-users.ts';
import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import { pause } from '../../system/pause.ts';
import { clonesOf, datasetName, destroy, poolName, unmount } from './commands.ts';

/** udev and others open a new device for a moment. */
const REMOVAL_TIMEOUT_MS = 30_000;
const REMOVAL_PAUSE_MS = 250;

/** Names of pools and datasets can be changed, and given again: so the numbers count, and names are for messages. */
export interface HeldSnapshot {
  readonly pool: string;
  readonly poolGuid: string;
  readonly dataset: string;
  readonly datasetGuid: string;
  /** What follows the `@`. */
  readonly name: string;
}

/**
 * Removes a snapshot and the volume that shows it. Idempotent.
 * @throws Error where it is still there, or its pool is not; the signal's reason
 */
export async function releaseSnapshot(held: HeldSnapshot, signal: AbortSignal): Promise<void> {
  const dataset = await datasetName(held.datasetGuid, signal);
  if (dataset === undefined) {
    // It may come back, and the snapshot with it.
    if ((await poolName(held.poolGuid, signal)) === undefined) throw new Error(`pool ${held.pool} is not imported`);
    return;
  }
  const snapshot = `${dataset}@${held.name}`;
  const clones = (await clonesOf(snapshot, signal)) ?? [];
  for (const clone of clones.filter((each) => each.endsWith(`/${held.name}`))) await whileBusy(() => destroy(clone, signal), signal);
  await whileBusy(() => destroy(snapshot, signal), signal);
}

/** Where the file system is mounted: below `directory`, which nobody else may enter. The root of what is mounted may be open to all. */
export function mountPoint(directory: string): string {
  return join(directory, 'fs');
}

/** Idempotent. @param directory in which a file system is mounted, or was to be */
export async function removeMount(directory: string, signal: AbortSignal): Promise<void> {
  try {
    // The kernel names mount points without links.
    const path = await realpath(directory);
    const mounted = mountPoint(path);
    if (await isMounted(mounted)) await whileBusy(() => unmount(mounted, signal), signal);
    await rmdir(mounted).catch(unlessMissing);
    await rmdir(path);
  } catch (error) {
    if (errnoName(error) !== 'ENOENT') throw error;
  }
}

function unlessMissing(error: unknown): void {
  if (errnoName(error) !== 'ENOENT') throw error;
}

/** The fifth field of each line is the mount point (proc_pid_mountinfo(5)). */
async function isMounted(directory: string): Promise<boolean> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return lines.some((line) => unescapeField(line.split(' ')[4] ?? '') === directory);
}

/** As long as somebody has it open, removal is tried again. */
async function whileBusy(remove: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + REMOVAL_TIMEOUT_MS;
  for (;;) {
    try {
      await remove();
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (!/\bbusy\b/.test(errorText(error)) || performance.now() > deadline) throw error;
    }
    await pause(REMOVAL_PAUSE_MS, signal);
  }
}
