import { errorText } from '../report/error-text.ts';
import type { DiskUsers } from '../disks/disk-users.ts';
import { describeUsers, findDiskWriters } from '../disks/disk-users.ts';
import type { SnapshotProvider, SnapshotRequest } from './provider.ts';

/**
 * No snapshot: the disk itself, with a warning when another process may write to it meanwhile. What a script reads then may be a state
 * that the disk never had.
 */
export function createNoneProvider(): SnapshotProvider & { readonly name: 'none' } {
  return {
    name: 'none',
    async supports() {
      return { ok: true, what: 'the disk itself' };
    },
    async prepare(requests, { signal, warn, mayChange = false }) {
      for (const { index, disk } of mayChange ? [] : requests) {
        signal.throwIfAborted();
        if (disk.path === undefined) {
          warn(`it is exported without a snapshot, and Gantry cannot see whether another process writes to ${disk.uri ?? 'it'}`, index);
          continue;
        }
        const warning = await writersWarning(disk.path, signal);
        if (warning !== undefined) warn(warning, index);
      }
      return { take: async () => undefined, open: async () => requests.map(viewOfDisk) };
    },
    // Nothing was made.
    async drop() {},
  };
}

function viewOfDisk({ index, disk }: SnapshotRequest): { index: number; kind: string; path?: string; uri?: string } {
  return {
    index,
    kind: 'none',
    ...(disk.path === undefined ? {} : { path: disk.path }),
    ...(disk.uri === undefined ? {} : { uri: disk.uri }),
  };
}

async function writersWarning(path: string, signal: AbortSignal): Promise<string | undefined> {
  let found: DiskUsers;
  try {
    found = await findDiskWriters(path, signal);
  } catch (error) {
    signal.throwIfAborted();
    return `could not find out whether another process writes to ${path}: ${errorText(error)}`;
  }
  const { users, hiddenProcesses } = found;
  if (users.length > 0) return `${path} is exported without a snapshot and may change meanwhile: ${describeUsers(users)}`;
  if (hiddenProcesses === 0) return undefined;
  return `${path} is exported without a snapshot, and only root can see whether one of ${hiddenProcesses} processes of other users writes to it`;
}
