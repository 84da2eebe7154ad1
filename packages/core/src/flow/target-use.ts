import type { DiskUsers } from '../disks/disk-users.ts';
import { findDiskUsers } from '../disks/disk-users.ts';
import type { InstanceGuard } from '../instances/instance-source.ts';
import type { Disk, Instance } from '../instances/model.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import type { Session } from './session.ts';
import { pause } from '../system/pause.ts';

/*
 * A disk in use is not overwritten. This is checked while the disks are locked: for all disks before any work starts, so that a refusal
 * costs nothing, and again for each disk just before its first write, so that little time is left in between.
 */

/** Programs that open a disk briefly (udev opens each new device) are waited for: number of tries, and ms between them. */
const TRIES = 10;
const PAUSE_MS = 200;

/** What every operation that writes disks is given. */
export interface TargetRequest extends OperationOptions {
  /** The instance whose disks are written. */
  readonly instance: Instance;
  /** What the source of the instance says of its running: a guest on another node cannot be seen from here. */
  readonly guard?: InstanceGuard | undefined;
  /** Writes to disks in use, with a warning. */
  readonly forceInUse?: boolean | undefined;
}

export type TargetUseOptions = Pick<TargetRequest, 'guard' | 'forceInUse'>;

/** Refuses disks of a session that are in use. @throws GantryError `BUSY`, `DISK_IO`; the reason of the signal */
export async function assertTargetsUnused(
  { instance, disks, reporter, signal }: Session,
  { forceInUse: force = false, guard }: TargetUseOptions,
): Promise<void> {
  for (const index of disks) {
    const disk = instance.disks[index];
    assertNotGuarded(index, disk, guard, { force, reporter });
    if (disk?.path === undefined) {
      reporter.warn(`cannot see whether ${disk?.uri ?? 'it'} is in use`, index);
      continue;
    }
    const { users, hiddenProcesses } = await findLastingUsers(index, disk.path, signal);
    const names = users.map(({ text }) => text);
    if (names.length > 0 && !force) throw inUse(index, disk.path, names);
    if (names.length > 0) reporter.warn(`${disk.path} is in use and is written anyway (--force-in-use): ${names.join(', ')}`, index);
    else if (hiddenProcesses > 0)
      reporter.warn(`only root can see whether one of ${hiddenProcesses} processes of other users has ${disk.path} open`, index);
  }
}

/** Refuses a disk that the source of the instance wants left alone. @throws GantryError `BUSY` */
function assertNotGuarded(
  index: number,
  disk: Disk | undefined,
  guard: InstanceGuard | undefined,
  { force, reporter }: { readonly force: boolean; readonly reporter: Reporter },
): void {
  const place = [disk?.path, disk?.uri].find((each) => each !== undefined && guard?.guarded.includes(each));
  if (guard === undefined || place === undefined || guard.run.state === 'stopped') return;
  const why =
    guard.run.state === 'running'
      ? `the instance runs on ${guard.run.node}, says ${guard.source}`
      : `${guard.source} cannot tell whether the instance runs`;
  if (!force) throw inUse(index, place, [why]);
  reporter.warn(`${place} is written anyway (--force-in-use): ${why}`, index);
}

/** Checks one disk again, just before its first write. With `force` the warning was given before. @throws as {@link assertTargetsUnused} */
export async function assertStillUnused(
  instance: Instance,
  index: number,
  { force, signal }: { readonly force: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const path = instance.disks[index]?.path;
  if (force || path === undefined) return;
  const { users } = await findLastingUsers(index, path, signal);
  if (users.length > 0) {
    throw inUse(
      index,
      path,
      users.map(({ text }) => text),
    );
  }
}

async function findLastingUsers(index: number, path: string, signal: AbortSignal): Promise<DiskUsers> {
  for (let tries = 1; ; tries += 1) {
    const found = await findUsers(index, path, signal);
    if (tries === TRIES || found.users.length === 0 || found.users.some(({ mayEndSoon }) => !mayEndSoon)) return found;
    await pause(PAUSE_MS, signal);
  }
}

async function findUsers(index: number, path: string, signal: AbortSignal): Promise<DiskUsers> {
  try {
    return await findDiskUsers(path, signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw new GantryError('DISK_IO', {
      message: `cannot find out whether disk ${index} (${path}) is in use: ${errorText(cause)}`,
      hint: 'Gantry needs /proc and /sys for this.',
      disk: index,
      cause,
    });
  }
}

function inUse(disk: number, path: string, users: readonly string[]): GantryError {
  const [first = '', ...more] = users;
  return new GantryError('BUSY', {
    message: `disk ${disk} (${path}) is in use: ${first}`,
    details: more.map((user) => `also: ${user}`),
    hint: 'Stop the guest, or unmount or detach the disk, and try again; --force-in-use overwrites it anyway.',
    disk,
  });
}
