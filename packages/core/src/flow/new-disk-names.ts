import { link, lstat, open, unlink } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { z } from 'zod';
import type { ImageFormat } from '../instances/image-uri.ts';
import { isImageFormat } from '../instances/image-uri.ts';
import { reportVolumes, runLvm } from '../snapshots/lvm/commands.ts';
import type { ToolOptions, VolumeReport } from '../snapshots/lvm/commands.ts';
import { removeVolume } from '../snapshots/lvm/remove-volume.ts';
import { runQemuImg } from '../snapshots/qemu-img.ts';
import { syncDirectory } from '../system/durable.ts';
import { errnoName } from '../system/errno-name.ts';
import { orGone } from '../system/or-gone.ts';

/*
 * A new disk has an unfinished name, which nobody else gives, until all disks of its import are complete. So what is removed after a
 * failure, or after a kill, is certainly its own.
 */

const FILE_NAME = /^\.gantry-[\w-]+\.unfinished$/;
/** Some days: a large disk on slow storage. */
const CONVERT_TIMEOUT_S = 3 * 24 * 3600;
const VOLUME_NAME = /^gantry-[\w-]+-new\d{1,3}-[0-9a-f]{8}$/;

interface Disk {
  readonly index: number;
  /** Where it will be. */
  readonly path: string;
  /** Its name until then: in the same directory, or in the same volume group. */
  readonly unfinished: string;
}

/** A disk that is being made. */
export type NewDisk =
  | (Disk & { readonly kind: 'file' })
  /** `converted`: beside the unfinished raw file, the image that is made of it when all disks are complete. */
  | (Disk & { readonly kind: 'image'; readonly format: ImageFormat; readonly converted: string })
  /** `uuid`: of the volume, as soon as it is there. Until then the unfinished name alone says that it is ours. */
  | (Disk & {
      readonly kind: 'volume';
      readonly group: string;
      readonly groupUuid: string;
      readonly name: string;
      readonly uuid?: string | undefined;
    });

const lvmName = z.string().regex(/^[A-Za-z0-9+_.][\w+.-]*$/);
const common = { index: z.int().nonnegative(), path: z.string().refine((path) => isAbsolute(path)) };

export const newDiskSchema: z.ZodType<NewDisk> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('file'), ...common, unfinished: z.string().regex(FILE_NAME) }),
  z.object({
    kind: z.literal('image'),
    ...common,
    unfinished: z.string().regex(FILE_NAME),
    format: z.string().refine(isImageFormat),
    converted: z.string().regex(FILE_NAME),
  }),
  z.object({
    kind: z.literal('volume'),
    ...common,
    group: lvmName,
    groupUuid: z.string(),
    name: lvmName,
    uuid: z.string().optional(),
    unfinished: z.string().regex(VOLUME_NAME),
  }),
]);

type Volume = Extract<NewDisk, { readonly kind: 'volume' }>;

/** Makes the image of what was written, durably. Does nothing for other disks. @throws Error; the signal's reason */
export async function convertImage(disk: NewDisk, options: ToolOptions): Promise<void> {
  if (disk.kind !== 'image') return;
  const path = completePath(disk);
  // It keeps the mode that it has.
  await (await open(path, 'wx', 0o600)).close();
  await runQemuImg(['convert', '-f', 'raw', '-O', disk.format, unfinishedPath(disk), path], { ...options, timeoutS: CONVERT_TIMEOUT_S });
  await using file = await open(path, 'r+');
  await file.sync();
}

/** Somebody else has taken the name. */
export class NameTakenError extends Error {
  override readonly name = 'NameTakenError';
}

/** By which an unfinished disk is written. */
export function unfinishedPath(disk: NewDisk): string {
  return disk.kind === 'volume' ? `/dev/${disk.group}/${disk.unfinished}` : join(dirname(disk.path), disk.unfinished);
}

/** What gets the name of the disk: of an image, not what is written, but what is made of it. */
function completePath(disk: Exclude<NewDisk, Volume>): string {
  return disk.kind === 'file' ? unfinishedPath(disk) : join(dirname(disk.path), disk.converted);
}

/** Whether there is something with the unfinished name. @throws Error where LVM cannot be asked */
export async function isUnfinished(disk: NewDisk, signal: AbortSignal): Promise<boolean> {
  if (disk.kind === 'volume') return (await findOwn(disk, disk.unfinished, signal)) !== undefined;
  const found = await Promise.all(filesOf(disk).map((path) => orGone(() => lstat(path))));
  return found.some((stats) => stats !== undefined);
}

/** What an image is made of goes first: as long as there is anything, what gets the name is there. */
function filesOf(disk: Exclude<NewDisk, Volume>): readonly string[] {
  return [...new Set([secondName(disk), unfinishedPath(disk), completePath(disk)])];
}

function secondName(disk: Exclude<NewDisk, Volume>): string {
  return unfinishedPath(disk).replace(/\.unfinished$/, '-name.unfinished');
}

/** Whether a file can be given its name later, which takes a hard link. */
export async function canBeNamed(disk: NewDisk): Promise<boolean> {
  if (disk.kind === 'volume') return true;
  try {
    await link(unfinishedPath(disk), secondName(disk));
  } catch (error) {
    if (['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(errnoName(error) ?? '')) return false;
    throw error;
  }
  await unlink(secondName(disk));
  return true;
}

/** Whether the name that a disk will have is taken. @throws Error where LVM cannot be asked */
export async function isNameTaken(disk: NewDisk, signal: AbortSignal): Promise<boolean> {
  if (disk.kind === 'volume') return (await findVolume(disk, disk.name, signal)) !== undefined;
  return (await orGone(() => lstat(disk.path))) !== undefined;
}

/** The volume with its UUID: the name alone may be given again by others. */
export async function identify(disk: NewDisk, signal: AbortSignal): Promise<NewDisk> {
  if (disk.kind !== 'volume') return disk;
  const uuid = (await findOwn(disk, disk.unfinished, signal))?.lv_uuid;
  if (uuid === undefined) throw new Error(`LVM does not show ${disk.group}/${disk.unfinished}, which it made`);
  return { ...disk, uuid };
}

/** Idempotent. @returns whether there was anything @throws Error where it is still there; the signal's reason */
export async function removeUnfinished(disk: NewDisk, signal: AbortSignal): Promise<boolean> {
  const wasThere = await isUnfinished(disk, signal);
  if (disk.kind === 'volume') await removeVolume(disk, (signal) => findOwn(disk, disk.unfinished, signal), signal);
  else for (const path of filesOf(disk)) await orGone(() => unlink(path));
  return wasThere;
}

/** Gives a complete disk its name, durably; it must be free. A file keeps the unfinished name too. @throws NameTakenError, Error */
export async function giveName(disk: NewDisk, options: ToolOptions): Promise<void> {
  if (disk.kind !== 'volume') {
    await linkFile(disk.path, completePath(disk));
    return await syncDirectory(dirname(disk.path));
  }
  if (await isNameTaken(disk, options.signal)) throw new NameTakenError(`${disk.group}/${disk.name} exists`);
  await runLvm(['lvrename', disk.group, disk.unfinished, disk.name], options);
}

async function linkFile(path: string, unfinished: string): Promise<void> {
  try {
    await link(unfinished, path);
  } catch (error) {
    if (errnoName(error) !== 'EEXIST') throw error;
    if (!(await isSameFile(path, unfinished))) throw new NameTakenError(`${path} exists`, { cause: error });
  }
}

/** Takes a name back that {@link giveName} gave, or may have given, of a disk that is not to stay. What has another's is left alone. */
async function takeNameBack(disk: NewDisk, options: ToolOptions): Promise<void> {
  if (!(await hasItsName(disk, options.signal))) return;
  if (disk.kind === 'volume') await runLvm(['lvrename', disk.group, disk.name, disk.unfinished], options);
  else await unlink(disk.path);
}

/** Whether a disk has the name already that {@link giveName} gives. @throws Error where LVM cannot be asked */
export async function hasItsName(disk: NewDisk, signal: AbortSignal): Promise<boolean> {
  if (disk.kind !== 'volume') return await isSameFile(disk.path, completePath(disk));
  return disk.uuid !== undefined && (await findOwn(disk, disk.name, signal)) !== undefined;
}

/** Takes its name back, and removes it. Idempotent. @returns whether there was anything @throws as {@link removeUnfinished} */
export async function removeNamed(disk: NewDisk, signal: AbortSignal): Promise<boolean> {
  await takeNameBack(disk, { signal });
  return await removeUnfinished(disk, signal);
}

/** After {@link giveName}: leaves that name alone. */
export async function dropUnfinishedName(disk: NewDisk): Promise<void> {
  if (disk.kind === 'volume') return;
  for (const path of filesOf(disk)) await orGone(() => unlink(path));
  await syncDirectory(dirname(disk.path));
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all([a, b].map(async (path) => await orGone(() => lstat(path, { bigint: true }))));
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino;
}

async function findVolume({ groupUuid }: Volume, name: string, signal: AbortSignal): Promise<VolumeReport | undefined> {
  return (await reportVolumes({ vg_uuid: groupUuid, lv_name: name }, signal))[0];
}

/** Like {@link findVolume}, but only if it is the volume that was made here, as far as that is known. */
async function findOwn(disk: Volume, name: string, signal: AbortSignal): Promise<VolumeReport | undefined> {
  const found = await findVolume(disk, name, signal);
  return disk.uuid === undefined || found?.lv_uuid === disk.uuid ? found : undefined;
}
