import { errorText } from '../../report/error-text.ts';
import { GantryError } from '../../report/errors.ts';
import type { SnapshotProvider, SnapshotRequest, Support } from '../provider.ts';
import type { SnapshotSize } from '../snapshot-size.ts';
import { findVolume } from './find-volume.ts';
import type { PlannedVolume } from './plan.ts';
import { describePlan, planVolume, whyTooLittle } from './plan.ts';
import type { PlannedRequest } from './volume-snapshots.ts';
import { VolumeSnapshots } from './volume-snapshots.ts';

/** Snapshots of disks that are logical volumes: thin ones of thin volumes, classic ones of all others. */
export function createLvmProvider({ size }: { readonly size?: SnapshotSize | undefined }): SnapshotProvider & { readonly name: 'lvm' } {
  const snapshots = new VolumeSnapshots('lvm');
  const plan = async (requests: readonly SnapshotRequest[], signal: AbortSignal): Promise<readonly PlannedRequest[]> => {
    const planned: PlannedRequest[] = [];
    for (const request of requests) planned.push(planOrThrow(request, await planPath(request.disk.path, size, signal)));
    return planned;
  };
  return {
    name: 'lvm',
    supports: async ({ disk }, signal) => supportOf(await planPath(disk.path, size, signal)),
    whyNotTogether: async (requests, signal) => whyTooLittle((await plan(requests, signal)).map((each) => each.plan)),
    prepare: async (requests, context) => snapshots.prepare(await plan(requests, context.signal), context),
    drop: (record, signal) => snapshots.drop(record, signal),
  };
}

/** What a snapshot of the volume at a path would be. */
async function planPath(path: string | undefined, size: SnapshotSize | undefined, signal: AbortSignal): Promise<PlannedVolume> {
  if (path === undefined) return { ok: false, reason: 'it has a URI and no path' };
  const found = await findVolume(path, signal);
  if ('reason' in found) return { ok: false, reason: found.reason };
  try {
    return await planVolume(found.volume, size, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, reason: `LVM cannot be asked about its pool: ${errorText(error)}`, isObstacle: found.volume.lv_device_open !== '' };
  }
}

function supportOf(planned: PlannedVolume): Support {
  return 'plan' in planned ? { ok: true, what: describePlan(planned.plan) } : planned;
}

/** @throws GantryError `SNAPSHOT_FAILED` where it was possible a moment ago, and is not now */
function planOrThrow(request: SnapshotRequest, planned: PlannedVolume): PlannedRequest {
  if ('plan' in planned) return { request, plan: planned.plan };
  throw new GantryError('SNAPSHOT_FAILED', {
    message: `cannot take a snapshot of disk ${request.index} (${request.disk.path ?? ''}): ${planned.reason}`,
    hint: 'gantry snapshots check says what would be taken.',
    disk: request.index,
  });
}
