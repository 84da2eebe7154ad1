import { stat } from 'node:fs/promises';
import process from 'node:process';

import { deviceMapperUuid } from '../../disks/device-mapper.ts';
import { deviceNumber } from '../../disks/disk-identity.ts';
import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import type { Support } from '../provider.ts';
import { reportVolumes, ToolMissingError } from './commands.ts';
import type { VolumeReport } from './commands.ts';

/** `LVM-`, the UUID of the group and that of the volume without their hyphens, and what internal devices have beyond. */
const LVM_UUID = /^LVM-(\w{32})(\w{32})(-.*)?$/;

/** What a path leads to: a volume, or why it cannot be treated as one. */
export type FoundVolume = { readonly volume: VolumeReport } | Extract<Support, { readonly ok: false }>;

/** Asks the kernel whether a disk is a logical volume, then LVM which. */
export async function findVolume(path: string, signal: AbortSignal): Promise<FoundVolume> {
  signal.throwIfAborted();
  let uuid: string | undefined;
  try {
    const stats = await stat(path, { bigint: true });
    if (!stats.isBlockDevice()) return no('it is not a block device');
    uuid = await deviceMapperUuid(deviceNumber(stats.rdev));
  } catch (error) {
    return no(`it cannot be looked at (${errnoName(error) ?? errorText(error)})`);
  }
  const [, , volumeUuid, internal] = LVM_UUID.exec(uuid ?? '') ?? [];
  if (volumeUuid === undefined) return no('it is not a logical volume of LVM');
  if (internal !== undefined) return no(`it is an internal device of LVM (${uuid})`);
  if (process.getuid?.() !== 0) return no('only root can take snapshots of logical volumes');
  try {
    const [volume] = await reportVolumes({ lv_uuid: withHyphens(volumeUuid) }, signal);
    return volume === undefined ? obstacle('the kernel has it as a logical volume, and LVM does not know it') : { volume };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ToolMissingError) return no(error.message);
    return obstacle(`LVM cannot be asked about it: ${errorText(error)}`);
  }
}

function no(reason: string): Extract<Support, { readonly ok: false }> {
  return { ok: false, reason };
}

/** Whether it is in use is not known. */
function obstacle(reason: string): Extract<Support, { readonly ok: false }> {
  return { ok: false, reason, isObstacle: true };
}

/** As the kernel has the UUID of a volume. */
export function isDeviceOf(uuid: string | undefined, { vg_uuid: group, lv_uuid: volume }: VolumeReport): boolean {
  return uuid === `LVM-${group.replaceAll('-', '')}${volume.replaceAll('-', '')}`;
}

/** LVM writes UUIDs in groups of 6, 4, 4, 4, 4, 4 and 6. */
function withHyphens(uuid: string): string {
  return uuid.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7');
}
