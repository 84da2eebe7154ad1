import { open, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import process from 'node:process';

import { deviceNumber } from '../../disks/disk-identity.ts';
import { errorText } from '../../report/error-text.ts';
import { blockDeviceSize } from '../../system/block-device.ts';
import { errnoName } from '../../system/errno-name.ts';
import type { PlannedVolume } from '../lvm/plan.ts';
import { whyTooLittle } from '../lvm/plan.ts';
import { planOrThrow, planPath, supportOf } from '../lvm/plan-path.ts';
import type { PlannedRequest } from '../lvm/volume-snapshots.ts';
import { VolumeSnapshots } from '../lvm/volume-snapshots.ts';
import type { ProviderOptions, SnapshotProvider, SnapshotRequest } from '../provider.ts';
import type { DrbdState } from './drbd-state.ts';
import { readDrbdState } from './drbd-state.ts';

/*
 * What DRBD writes on its primary it writes to a device below, to which the guest's writes go in their order: a snapshot of that is one
 * of the disk, as Ganeti takes it. Below is a logical volume. See docs/decisions/0086-drbd-snapshots.md.
 */

/** Snapshots of disks of DRBD, by the logical volume below, on the primary. */
export function createDrbdProvider({ size }: ProviderOptions): SnapshotProvider & { readonly name: 'drbd' } {
  const snapshots = new VolumeSnapshots('drbd');
  const planDisk = ({ disk }: SnapshotRequest, signal: AbortSignal): Promise<PlannedVolume> => planDevice(disk.path, { size }, signal);
  const plan = async (requests: readonly SnapshotRequest[], signal: AbortSignal): Promise<readonly PlannedRequest[]> => {
    const planned: PlannedRequest[] = [];
    for (const request of requests) planned.push(planOrThrow(request, await planDisk(request, signal)));
    return planned;
  };
  return {
    name: 'drbd',
    supports: async (request, signal) => supportOf(await planDisk(request, signal)),
    whyNotTogether: async (requests, signal) => whyTooLittle((await plan(requests, signal)).map((each) => each.plan)),
    prepare: async (requests, context) => snapshots.prepare(await plan(requests, context.signal), context),
    drop: (record, signal) => snapshots.drop(record, signal),
  };
}

async function planDevice(path: string | undefined, { size }: ProviderOptions, signal: AbortSignal): Promise<PlannedVolume> {
  if (path === undefined) return { ok: false, reason: 'it has a URI and no path' };
  let device: DrbdDevice | undefined;
  try {
    device = await findDrbdDevice(path);
  } catch (error) {
    return { ok: false, reason: `it cannot be looked at (${errnoName(error) ?? errorText(error)})` };
  }
  if (device === undefined) return { ok: false, reason: 'it is not a device of DRBD' };
  if (process.getuid?.() !== 0) return { ok: false, reason: 'only root can take snapshots of what DRBD keeps its data on' };
  try {
    const state = await readDrbdState(device.minor, signal);
    const reason = whyNot(state);
    if (reason !== undefined || state.backing === undefined)
      return obstacle(reason ?? `DRBD does not say where ${state.resource} has its data`);
    await assertBelow(device, state.backing);
    const planned = await planPath(state.backing, size, signal);
    if ('reason' in planned) return obstacle(`of the device below, ${state.backing}: ${planned.reason}`);
    return { plan: { ...planned.plan, viewBytes: await sizeOf(path) } };
  } catch (error) {
    signal.throwIfAborted();
    return obstacle(errorText(error));
  }
}

/** A disk that DRBD has in its hands cannot be read at one moment in another way. */
function obstacle(reason: string): PlannedVolume {
  return { ok: false, reason, isObstacle: true };
}

interface DrbdDevice {
  readonly minor: number;
  /** In sysfs. */
  readonly directory: string;
}

/** By the name that the driver gives its devices in the kernel, where nobody can rename them. */
async function findDrbdDevice(path: string): Promise<DrbdDevice | undefined> {
  const stats = await stat(path, { bigint: true });
  if (!stats.isBlockDevice()) return undefined;
  const directory = await realpath(`/sys/dev/block/${deviceNumber(stats.rdev)}`);
  const [, minor] = /^drbd(\d+)$/.exec(basename(directory)) ?? [];
  return minor === undefined ? undefined : { minor: Number(minor), directory };
}

function whyNot({ resource, role, disk, replication }: DrbdState): string | undefined {
  if (role !== 'Primary') return `${resource} is ${role.toLowerCase()} on this node: export it where it is primary`;
  if (disk === 'Diskless') return `${resource} has no disk on this node: its data is read from a peer`;
  if (disk === 'UpToDate') return undefined;
  const syncing = replication.find((word) => /^(?:Sync|PausedSync|WFSync)/.test(word));
  return `the data of ${resource} on this node is ${disk}${syncing === undefined ? '' : ` (${syncing})`}: wait until it is UpToDate`;
}

/** The name was given when the disk was attached: it must still lead to what the kernel has below the device. @throws Error */
async function assertBelow({ directory }: DrbdDevice, backing: string): Promise<void> {
  const number = deviceNumber((await stat(backing, { bigint: true })).rdev);
  const below = await readdir(`${directory}/slaves`);
  const numbers = await Promise.all(below.map(async (name) => (await readFile(`${directory}/slaves/${name}/dev`, 'utf8')).trim()));
  if (!numbers.includes(number)) throw new Error(`${backing} is not what the kernel has below the device`);
}

/** With internal metadata the volume below is larger. */
async function sizeOf(path: string): Promise<number> {
  await using file = await open(path, 'r');
  return blockDeviceSize(file.fd);
}
