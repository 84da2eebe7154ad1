import type { Layer } from './disk-layers.ts';
import { findLayers } from './disk-layers.ts';
import type { DiskUser } from './disk-user.ts';
import { findHiddenUser } from './hidden-users.ts';
import { findMounts, findSwap } from './kernel-users.ts';
import { findOpenFiles } from './open-files.ts';

/*
 * Who uses a disk, as far as the kernel shows it: processes, mounted file systems, swap, and devices stacked on it and their users.
 * Not visible: other machines, and mounts in namespaces of processes that we may not examine (except for the device's claim).
 */

const MAX_NAMED_USERS = 5;

export interface DiskUsers {
  readonly users: readonly DiskUser[];
  /** Processes whose open files we may not see: each of them may have the disk open. */
  readonly hiddenProcesses: number;
}

/** Finds all users of the disk at `path`. @throws the error of stat(2); the signal's reason */
export async function findDiskUsers(path: string, signal: AbortSignal): Promise<DiskUsers> {
  const layers = await findLayers(path);
  signal.throwIfAborted();
  const { users: open, hiddenProcesses } = await findOpenFiles(layers, signal);
  const [mounts, swap] = await Promise.all([findMounts(layers, signal), findSwap(layers)]);
  const named = [...mounts, ...swap, ...open, ...layers.flatMap(describeLayer)];
  if (named.length > 0) return { users: named, hiddenProcesses };
  const hidden = await findHiddenUser(path);
  if (hidden === 'nobody') return { users: [], hiddenProcesses: 0 };
  return { users: hidden === undefined ? [] : [hidden], hiddenProcesses };
}

/** Like {@link findDiskUsers}, but only those that may change the contents of the disk. */
export async function findDiskWriters(path: string, signal: AbortSignal): Promise<DiskUsers> {
  const { users, hiddenProcesses } = await findDiskUsers(path, signal);
  return { users: users.filter(({ writes }) => writes), hiddenProcesses };
}

/** The users in one line. */
export function describeUsers(users: readonly DiskUser[]): string {
  const more = users.length > MAX_NAMED_USERS ? `, and ${users.length - MAX_NAMED_USERS} more` : '';
  return `${users
    .slice(0, MAX_NAMED_USERS)
    .map(({ text }) => text)
    .join(', ')}${more}`;
}

/** A device stacked on the disk uses it even if nobody has it open. A partition does not: the kernel creates it unasked. */
function describeLayer({ name, kind, readOnly }: Layer): readonly DiskUser[] {
  if (kind === 'loop')
    return [{ text: `it is attached to ${name} (${readOnly ? 'read-only' : 'writable'})`, writes: !readOnly, mayEndSoon: false }];
  if (kind === 'holder') return [{ text: `${name} is stacked on it`, writes: !readOnly, mayEndSoon: false }];
  return [];
}
