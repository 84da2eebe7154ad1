import type { Stats } from 'node:fs';
import { lstat, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import { diskCallError } from '../disks/disk-errors.ts';
import type { ImageFormat } from '../instances/image-uri.ts';
import { parseImageUri } from '../instances/image-uri.ts';
import type { Disk, Instance } from '../instances/model.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';
import type { GroupReport } from '../snapshots/lvm/commands.ts';
import { reportGroup, reportVolumes } from '../snapshots/lvm/commands.ts';
import { runQemuImg } from '../snapshots/qemu-img.ts';
import { errnoName } from '../system/errno-name.ts';
import type { OriginalDisk } from './import-checks.ts';
import { whyNotKept } from './new-disk-places.ts';

/*
 * Disks that an import makes because they are missing, and files that it enlarges because they are too short.
 */

const MIB = 1024 * 1024;
const QEMU_IMG_TIMEOUT_S = 60;
/** Names as LVM allows them. */
const VOLUME = /^\/dev\/([A-Za-z0-9+_.][\w+.-]*)\/([A-Za-z0-9+_.][\w+.-]*)$/;

interface Planned {
  readonly index: number;
  readonly path: string;
  /** As large as it must be at least, bytes. */
  readonly bytes: number;
}

type NewFile = Planned & { readonly kind: 'file' };
/** `zeroFrom`: from there to its end nothing else writes all of it, bytes. */
export type NewVolume = Planned & {
  readonly kind: 'volume';
  readonly group: GroupReport;
  readonly name: string;
  readonly zeroFrom: number;
};
/** A new image: it is written as a raw file first. */
export type NewImage = Planned & { readonly kind: 'image'; readonly format: ImageFormat };
/** A regular file that is there. */
export type LongerFile = Planned & { readonly kind: 'longer' };
export type PlannedDisk = NewFile | NewVolume | NewImage | LongerFile;

export interface PlanOptions {
  /** Whether the data are images of the disks. */
  readonly isRaw: boolean;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/**
 * Says which of the disks that get data are missing, or are files that are too short. Changes nothing.
 *
 * @throws GantryError `DISK_MISSING` where a disk cannot be made there, `DISK_NOT_CREATED` for too little space in a volume group,
 *   `DISK_UNKNOWN` where the size is not known; the reason of the signal
 */
export async function planNewDisks(
  { disks }: Instance,
  originals: readonly OriginalDisk[],
  { isRaw, reporter, signal }: PlanOptions,
): Promise<readonly PlannedDisk[]> {
  const planned: PlannedDisk[] = [];
  for (const { index, plainBytes, size } of originals) {
    signal.throwIfAborted();
    // An image needs the exact size; what scripts write, that of the disk they wrote it from.
    const bytes = (isRaw ? plainBytes : undefined) ?? (size === undefined ? undefined : size * MIB);
    const each = await planDisk(disks[index], { index, bytes, isRaw }, signal);
    if (each !== undefined) planned.push(each);
  }
  assertGroupsHaveSpace(planned.filter((each) => each.kind === 'volume'));
  await warnOfFullFileSystems(
    planned.flatMap((each) => (each.kind === 'volume' ? [] : [each])),
    reporter,
  );
  return planned;
}

/** The disks as they will be: those that are to be made, with their sizes. */
export function withPlanned({ instance, diskBytes, warnings }: InspectedDisks, planned: readonly PlannedDisk[]): InspectedDisks {
  const bytes = [...diskBytes];
  const disks = [...instance.disks];
  for (const { index, kind, bytes: size } of planned) {
    bytes[index] = size;
    const disk = disks[index];
    if (disk === undefined || kind === 'longer') continue;
    const backend = disk.backend_type ?? (kind === 'volume' ? 'block' : 'file:loop');
    disks[index] = { ...disk, size: disk.size ?? Math.ceil(size / MIB), backend_type: backend };
  }
  return { instance: { ...instance, disks }, diskBytes: bytes, warnings };
}

async function planDisk(
  disk: Disk | undefined,
  { index, bytes, isRaw }: Pick<PlanOptions, 'isRaw'> & { readonly index: number; readonly bytes: number | undefined },
  signal: AbortSignal,
): Promise<PlannedDisk | undefined> {
  const image = disk?.path === undefined ? parseImageUri(disk?.uri) : undefined;
  const path = disk?.path ?? image?.path;
  // What a disk with another URI is made by, its script knows.
  if (path === undefined) return undefined;
  const stats = await statOrMissing(path, index);
  if (stats !== undefined && image !== undefined) throw isThere(path, index);
  if (stats !== undefined) {
    if (!stats.isFile() || bytes === undefined || stats.size >= bytes) return undefined;
    return { kind: 'longer', index, path, bytes };
  }
  if (bytes === undefined) {
    throw new GantryError('DISK_UNKNOWN', {
      message: `the export does not say how large disk ${index} was, so that it cannot be created`,
      hint: 'Create it by hand, and import without --create-disks.',
      disk: index,
    });
  }
  if (path.startsWith('/dev/')) return await planVolume(path, { index, bytes, zeroFrom: isRaw ? bytes : 0 }, signal);
  await assertDirectory(path, index);
  if (image !== undefined) await assertQemuImg(path, index, signal);
  return image === undefined ? { kind: 'file', index, path, bytes } : { kind: 'image', index, path, bytes, format: image.format };
}

/** It runs at the end, after hours perhaps. */
async function assertQemuImg(path: string, index: number, signal: AbortSignal): Promise<void> {
  try {
    await runQemuImg(['--version'], { signal, timeoutS: QEMU_IMG_TIMEOUT_S });
  } catch (error) {
    signal.throwIfAborted();
    const message = `cannot create disk ${index} (${path}): ${errorText(error)}`;
    throw new GantryError('DISK_NOT_CREATED', { message, hint: 'Install it, or import into a raw file.', disk: index, cause: error });
  }
}

function isThere(path: string, disk: number): GantryError {
  return new GantryError('DISK_KIND', {
    message: `cannot create disk ${disk} (${path}): it exists, and what is in an image cannot be overwritten`,
    hint: 'Name another path, or remove the image.',
    disk,
  });
}

async function statOrMissing(path: string, index: number): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errnoName(error) !== 'ENOENT') throw diskCallError(path, 'open', error);
  }
  const link = await lstat(path).catch(() => undefined);
  if (link === undefined) return undefined;
  throw missing(path, index, 'it is a symbolic link to something that does not exist', 'Correct or remove the link.');
}

async function assertDirectory(path: string, index: number): Promise<void> {
  const directory = dirname(path);
  const stats = await stat(directory).catch(() => undefined);
  if (stats?.isDirectory() !== true)
    throw missing(path, index, `the directory ${directory} does not exist`, `Make it, or mount its file system.`);
  const why = await whyNotKept(directory).catch((error: unknown) => {
    throw diskCallError(path, 'create', error);
  });
  if (why === undefined) return;
  throw missing(path, index, why, 'Name another path, or create the disk by hand, and import without --create-disks.');
}

async function planVolume(path: string, place: Pick<NewVolume, 'index' | 'bytes' | 'zeroFrom'>, signal: AbortSignal): Promise<NewVolume> {
  const { index } = place;
  const [, groupName, name] = VOLUME.exec(path) ?? [];
  if (groupName === undefined || name === undefined) {
    throw missing(
      path,
      index,
      'what is in /dev can be created only as a logical volume',
      'Name it /dev/GROUP/VOLUME, or create it by hand.',
    );
  }
  let group: GroupReport | undefined;
  let isKnown = false;
  try {
    group = await reportGroup(groupName, signal);
    isKnown = group !== undefined && (await reportVolumes({ vg_name: groupName, lv_name: name }, signal)).length > 0;
  } catch (error) {
    signal.throwIfAborted();
    throw missing(path, index, `LVM cannot be asked for it: ${errorText(error)}`, 'Create it by hand.', error);
  }
  if (group === undefined) throw missing(path, index, `there is no volume group ${groupName}`, 'vgs lists the volume groups.');
  if (isKnown) {
    throw missing(path, index, 'the logical volume exists, and is not active', `Activate it: lvchange --activate y ${groupName}/${name}`);
  }
  return { kind: 'volume', path, group, name, ...place };
}

function assertGroupsHaveSpace(volumes: readonly NewVolume[]): void {
  for (const [first, ...others] of Map.groupBy(volumes, ({ group }) => group.vg_uuid).values()) {
    if (first === undefined) continue;
    const { vg_name: name, vg_free: free, vg_extent_size: extent } = first.group;
    const needed = [first, ...others].reduce((sum, { bytes }) => sum + Math.ceil(bytes / extent) * extent, 0);
    if (needed <= free) continue;
    throw new GantryError('DISK_NOT_CREATED', {
      message: `volume group ${name} has ${free} bytes free, and the new volumes need ${needed}`,
      hint: 'Free space in it, or name another group with --disk N=/dev/GROUP/VOLUME.',
      disk: first.index,
    });
  }
}

/** Zeros take no space, so that less may be enough. */
async function warnOfFullFileSystems(files: readonly Exclude<PlannedDisk, NewVolume>[], reporter: Reporter): Promise<void> {
  for (const { index, path, bytes } of files) {
    const { bavail, bsize } = await statfs(dirname(path)).catch(() => ({ bavail: Infinity, bsize: 1 }));
    const free = bavail * bsize;
    if (free < bytes) reporter.warn(`it needs up to ${bytes} bytes, and the file system of ${path} has ${free} free`, index);
  }
}

function missing(path: string, disk: number, why: string, hint: string, cause?: unknown): GantryError {
  return new GantryError('DISK_MISSING', { message: `cannot create disk ${disk} (${path}): ${why}`, hint, disk, cause });
}
