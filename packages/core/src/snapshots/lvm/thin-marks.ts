import type { DiskRange } from '../../frames/changed-frames.ts';
import { errorText } from '../../report/error-text.ts';
import { GantryError } from '../../report/errors.ts';
import type { ChangeMark, Snapshot, SnapshotRequest } from '../provider.ts';
import type { VolumeReport } from './commands.ts';
import { reportVolumes } from './commands.ts';
import { volumeName } from './plan.ts';
import { removeVolume } from './remove-volume.ts';
import type { DeltaOptions } from './thin-changes.ts';
import { differentBlocks } from './thin-changes.ts';

/*
 * The mark that a thin snapshot leaves is the snapshot itself, which is kept until the next one. It costs what is written to the volume
 * meanwhile, in blocks of the pool.
 */

/** The names of Gantry's snapshots; others are never removed. */
export const SNAPSHOT_NAME: RegExp = /^gantry-[\w.+-]+$/;
/** To find them by hand: `lvs @gantry`. */
export const TAG = 'gantry';

/** The snapshot that an earlier export has kept; or why what changed since then cannot be said. */
export type EarlierVolume = { readonly volume: VolumeReport } | { readonly whyAll: string };

/** Finds the snapshot of a mark. @throws Error where LVM cannot be asked */
export async function findEarlier(
  origin: VolumeReport,
  since: ChangeMark | undefined,
  provider: string,
  signal: AbortSignal,
): Promise<EarlierVolume> {
  if (since === undefined) return { whyAll: 'there is no earlier mark' };
  if (since.provider !== provider) return { whyAll: `the mark was left by the provider ${since.provider}` };
  const mark = parseMark(since);
  if (mark === undefined) return { whyAll: `"${since.name}" is not a mark of Gantry` };
  const volume = await findMarked(mark, signal);
  if (volume === undefined) return { whyAll: `the snapshot ${mark.name} of the earlier export is gone` };
  const isOfOrigin = volume.origin_uuid === origin.lv_uuid && volume.vg_uuid === origin.vg_uuid && volume.pool_lv === origin.pool_lv;
  if (!isOfOrigin) return { whyAll: `${volumeName(volume)} is not a snapshot of ${volumeName(origin)}` };
  return volume.lv_size === origin.lv_size ? { volume } : { whyAll: 'the disk was resized' };
}

/** What a snapshot leaves when it is kept. */
export function changesOf(
  { index }: Pick<SnapshotRequest, 'index'>,
  { own, earlier, pool, provider }: { own: VolumeReport; earlier: EarlierVolume; pool: string; provider: string },
  remember: DeltaOptions['remember'],
): Pick<Snapshot, 'changes'> {
  const mark: ChangeMark = { provider, name: `${own.lv_uuid} ${own.vg_uuid} ${own.lv_name}` };
  if ('whyAll' in earlier) return { changes: { mark, since: { known: false, reason: earlier.whyAll } } };
  const pair = { since: earlier.volume.thin_id, until: own.thin_id };
  const ranges = async function* (signal: AbortSignal): AsyncGenerator<DiskRange, void, undefined> {
    try {
      // The last block of the pool may go beyond the end of the volume.
      for (const { offset, length } of await differentBlocks(pool, pair, { remember, signal }))
        if (offset < own.lv_size) yield { offset, length: Math.min(length, own.lv_size - offset) };
    } catch (error) {
      signal.throwIfAborted();
      throw new GantryError('DISK_IO', {
        message: `cannot find out what changed on disk ${index}: ${errorText(error)}`,
        hint: 'Export without --track-changes.',
        disk: index,
        cause: error,
      });
    }
  };
  return { changes: { mark, since: { known: true, ranges } } };
}

/** Removes the snapshot of a mark. Idempotent. @throws Error with the reason why it is still there */
export async function forgetMark(mark: ChangeMark, signal: AbortSignal): Promise<void> {
  const kept = parseMark(mark);
  if (kept === undefined) return;
  await removeVolume({ groupUuid: kept.groupUuid, group: `of ${kept.name}` }, (signal) => findMarked(kept, signal), signal);
}

interface MarkedVolume {
  readonly uuid: string;
  readonly groupUuid: string;
  readonly name: string;
}

/** Undefined if it is not a mark of Gantry. */
function parseMark({ name: text }: ChangeMark): MarkedVolume | undefined {
  const [, uuid = '', groupUuid = '', name = ''] = /^([\w-]+) ([\w-]+) (\S+)$/.exec(text) ?? [];
  return SNAPSHOT_NAME.test(name) ? { uuid, groupUuid, name } : undefined;
}

/** Also if its group was renamed; not what only has its name. */
async function findMarked({ uuid, groupUuid, name }: MarkedVolume, signal: AbortSignal): Promise<VolumeReport | undefined> {
  const [volume] = await reportVolumes({ lv_uuid: uuid }, signal);
  const isOurs = volume?.vg_uuid === groupUuid && volume.lv_name === name && volume.lv_tags.split(',').includes(TAG);
  return isOurs ? volume : undefined;
}
