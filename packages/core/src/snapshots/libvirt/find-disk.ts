import { access } from 'node:fs/promises';

import { diskIdentity } from '../../disks/disk-identity.ts';
import { parseFileUri } from '../../instances/image-uri.ts';
import type { GuestControl } from '../../instances/inventory.ts';
import type { Disk } from '../../instances/model.ts';
import { errorText } from '../../report/error-text.ts';
import type { SnapshotRequest } from '../provider.ts';
import { describeLack, freeBytes, MIN_RESERVES } from '../scratch-directory.ts';
import type { Domain, DomainDisk } from './domain.ts';
import type { LibvirtSettings } from './libvirt-config.ts';

export type LibvirtGuest = Extract<GuestControl, { readonly kind: 'libvirt' }>;

/** A disk whose size is known. */
export interface KnownDisk extends DomainDisk {
  readonly capacity: number;
}

/** Why a disk, or a guest, is not supported: one clause. */
export interface Unsupported {
  readonly reason: string;
  /** It would be supported if the reason were removed. */
  readonly isObstacle?: boolean;
}

const MIB = 1024 * 1024;
/** Where a disk can be: what libvirt takes as the source of a backup, of the types in its format of domains. */
const SOURCES = new Set(['file', 'block', 'network', 'volume']);

/** Whether a request can be answered at all, without a look at libvirt. */
export function whyNotAsked(guest: GuestControl | undefined, { index }: SnapshotRequest): Unsupported | undefined {
  if (guest?.kind !== 'libvirt') return { reason: 'the source of the instance does not say that libvirt has its guest' };
  if (isRemote(guest.uri)) return { reason: `the libvirt of its guest is on another host (${guest.uri}): run Gantry there` };
  if (guest.targets[index] === undefined) return { reason: 'the source of the instance does not say which disk of the guest it is' };
  return undefined;
}

function isRemote(uri: string): boolean {
  return URL.canParse(uri) && new URL(uri).hostname !== '';
}

/** Why no disk of the guest can be held still now. */
export function whyNotGuest({ state, reason, job, hasIoThreads, owner }: Domain): Unsupported | undefined {
  if (state === 'paused' && reason !== 'user') return { reason: `its guest is paused (${reason})`, isObstacle: true };
  if (state !== 'running' && state !== 'paused') return { reason: `its guest does not run (${state})` };
  if (hasIoThreads) return { reason: WITH_IO_THREADS };
  const user = process.geteuid?.();
  if (user !== 0 && owner !== undefined && owner.uid !== user)
    return { reason: `its guest runs as another user (${owner.uid}): run Gantry as root` };
  if (job !== undefined) return { reason: `libvirt is busy with another job of its guest (${job})`, isObstacle: true };
  return undefined;
}

/** See `../qemu/guest-disks.ts`: QEMU 7.2 aborts. */
const WITH_IO_THREADS = 'its guest has I/O threads, and its QEMU could abort when the reading of such a disk ends';

/** The disk of the domain that a request means. */
export async function findDisk(
  domain: Domain,
  { targets }: LibvirtGuest,
  { index, disk }: SnapshotRequest,
): Promise<KnownDisk | Unsupported> {
  const target = targets[index];
  const found = domain.disks.find((each) => each.target === target);
  if (found === undefined) return { reason: `its guest has no disk ${target} now` };
  const unfit = whyNotDisk(found);
  if (unfit !== undefined) return unfit;
  if (await isOther(disk, found)) return { reason: `the disk ${target} of its guest is ${found.path} now` };
  const { capacity } = found;
  if (capacity === undefined) return { reason: `libvirt does not say how large ${target} is` };
  return whyNotFormat(disk, found) ?? { ...found, capacity };
}

function whyNotDisk({ target, device, type, encrypted, transient, errorPolicy }: DomainDisk): Unsupported | undefined {
  if (device !== 'disk') return { reason: `${target} is a ${device}` };
  if (!SOURCES.has(type)) return { reason: `libvirt cannot back up a disk of the type ${type}` };
  if (encrypted) return { reason: `${target} is encrypted, and its snapshot would not be` };
  if (transient) return { reason: `${target} is transient` };
  // The guest would see errors of writes if the scratch space ran out, and could not go on.
  if (errorPolicy === 'report' || errorPolicy === 'ignore') return { reason: `the error_policy of ${target} is "${errorPolicy}"` };
  return undefined;
}

/** The guest may have been given another image since its instance was described. What is on the network has no path here. */
async function isOther({ path, uri }: Disk, { path: now }: DomainDisk): Promise<boolean> {
  const named = path ?? parseFileUri(uri)?.path;
  return now !== undefined && (named === undefined || !(await isSame(named, now)));
}

function whyNotFormat({ path, uri }: Disk, { target, format }: DomainDisk): Unsupported | undefined {
  const named = path === undefined ? parseFileUri(uri)?.format : undefined;
  if (named === undefined || named === format) return undefined;
  return { reason: `the disk ${target} of its guest is in the format ${format}, and not ${named}` };
}

async function isSame(path: string, other: string): Promise<boolean> {
  const [one, two] = await Promise.all([path, other].map((each) => diskIdentity(each).catch(() => undefined)));
  return one !== undefined && one === two;
}

/**
 * Why the scratch space is too small. In Gantry's own directory, all that the guest's disks take has to fit, so that it does not run out:
 * nobody has chosen that risk.
 */
export async function whyNoSpace(
  { scratch, reserve, isDefaultScratch }: Pick<LibvirtSettings, 'scratch' | 'reserve' | 'isDefaultScratch'>,
  disks: readonly Partial<Pick<DomainDisk, 'capacity' | 'physical'>>[],
): Promise<Unsupported | undefined> {
  let free: number;
  try {
    if (!isDefaultScratch) await access(scratch);
    free = await freeBytes(scratch);
  } catch (error) {
    return { reason: `the scratch directory cannot be used: ${errorText(error)}` };
  }
  const reserveBytes = reserve * MIB;
  if (!isDefaultScratch)
    return free < MIN_RESERVES * reserveBytes ? { reason: describeLack(scratch, free, reserveBytes), isObstacle: true } : undefined;
  const needed = disks.reduce((sum, { capacity = 0, physical = capacity }) => sum + Math.min(capacity, physical), reserveBytes);
  if (free >= needed) return undefined;
  const lack = `only ${Math.floor(free / MIB)} MiB are free in ${scratch}, ${Math.ceil(needed / MIB)} are needed for all that its disks have`;
  return { reason: `${lack}: name a scratch directory in the section libvirt of --snapshot-config` };
}
