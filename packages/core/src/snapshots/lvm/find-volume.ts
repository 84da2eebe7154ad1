import { stat } from 'node:fs/promises';
import process from 'node:process';

import { deviceMapperUuid } from '../../disks/device-mapper.ts';
import { deviceNumber } from '../../disks/disk-identity.ts';
import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import { reportVolumes } from './commands.ts';
import type { VolumeReport } from './commands.ts';

/** `LVM-`, the UUID of the group and that of the volume without their hyphens, and what internal devices have beyond. */
const LVM_UUID = /^LVM-(\w{32})(\w{32})(-.*)?$/;

/** What stands behind a path: a volume, or why it is not one, as a clause. */
export type FoundVolume = { readonly volume: VolumeReport } | { readonly reason: string };

/** Asks the kernel whether a disk is a logical volume, then LVM which. */
export async function findVolume(path: string, signal: AbortSignal): Promise<FoundVolume> {
  signal.throwIfAborted();
  let uuid: string | undefined;
  try {
    const stats = await stat(path, { bigint: true });
    if (!stats.isBlockDevice()) return { reason: 'it is not a block device' };
    uuid = await deviceMapperUuid(deviceNumber(stats.rdev));
  } catch (error) {
    return { reason: `it cannot be looked at (${errnoName(error) ?? errorText(error)})` };
  }
  const [, , volumeUuid, internal] = LVM_UUID.exec(uuid ?? '') ?? [];
  if (volumeUuid === undefined) return { reason: 'it is not a logical volume of LVM' };
  if (internal !== undefined) return { reason: `it is an internal device of LVM (${uuid})` };
  if (process.getuid?.() !== 0) return { reason: 'only root can take snapshots of logical volumes' };
  try {
    const [volume] = await reportVolumes({ lv_uuid: withHyphens(volumeUuid) }, signal);
    return volume === undefined ? { reason: 'the kernel has it as a logical volume, and LVM does not know it' } : { volume };
  } catch (error) {
    signal.throwIfAborted();
    return { reason: `LVM cannot be asked about it: ${errorText(error)}` };
  }
}

/** As the kernel has the UUID of a volume. */
export function isDeviceOf(uuid: string | undefined, { vg_uuid: group, lv_uuid: volume }: VolumeReport): boolean {
  return uuid === `LVM-${group.replaceAll('-', '')}${volume.replaceAll('-', '')}`;
}

/** LVM writes UUIDs in groups of 6, 4, 4, 4, 4, 4 and 6. */
function withHyphens(uuid: string): string {
  return uuid.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7');
}
