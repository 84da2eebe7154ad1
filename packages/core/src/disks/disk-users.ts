import type { Layer } from './disk-layers.ts';
import { findLayers } from './disk-layers.ts';
import type { DiskUser } from './disk-user.ts';
import { findHiddenUser } from './hidden-users.ts';
import { findMounts, findSwap } from './kernel-users.ts';
import { findOpenFiles } from './open-files.ts';

/*
 * Who uses a disk, as far as the kernel tells: processes, mounted file systems, swap, and devices stacked on top, each of them in turn.
 * Not seen: other machines, and mounts of namespaces whose processes we may not look into (but for the device's claim).
 */

const MAX_NAMED = 5;

export interface DiskUsers {
  readonly users: readonly DiskUser[];
  /** Processes whose open files we were not allowed to see and which may have the disk open for all that is known. */
  readonly hiddenProcesses: number;
}

/** Looks for all who use the disk at `path` now. @throws what stat(2) says of the path; the signal's reason */
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

/** Like {@link findDiskUsers}, but those alone who may change what the disk holds. */
export async function findDiskWriters(path: string, signal: AbortSignal): Promise<DiskUsers> {
  const { users, hiddenProcesses } = await findDiskUsers(path, signal);
  return { users: users.filter(({ writes }) => writes), hiddenProcesses };
}

/** Who they are, in one line. */
export function describeUsers(users: readonly DiskUser[]): string {
  const more = users.length > MAX_NAMED ? `, and ${users.length - MAX_NAMED} more` : '';
  return `${users
    .slice(0, MAX_NAMED)
    .map(({ text }) => text)
    .join(', ')}${more}`;
}

/** A device that was made of the disk is a use of it, even while nobody has it open; a partition is there by itself. */
function describeLayer({ name, kind, readOnly }: Layer): readonly DiskUser[] {
  if (kind === 'loop') return [{ text: `it is ${readOnly ? 'readable' : 'writable'} as ${name}`, writes: !readOnly, mayPass: false }];
  if (kind === 'holder') return [{ text: `${name} is made of it`, writes: !readOnly, mayPass: false }];
  return [];
}
