import { errorText } from '../../report/error-text.ts';
import { GantryError } from '../../report/errors.ts';
import type { SnapshotRequest, Support } from '../provider.ts';
import type { SnapshotSize } from '../snapshot-size.ts';
import { findVolume } from './find-volume.ts';
import type { PlannedVolume } from './plan.ts';
import { describePlan, planVolume } from './plan.ts';
import type { PlannedRequest } from './volume-snapshots.ts';

/** What a snapshot of the volume at a path would be. */
export async function planPath(path: string | undefined, size: SnapshotSize | undefined, signal: AbortSignal): Promise<PlannedVolume> {
  if (path === undefined) return { ok: false, reason: 'it has a URI and no path' };
  const found = await findVolume(path, signal);
  if ('reason' in found) return found;
  try {
    return await planVolume(found.volume, size, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, reason: `LVM cannot be asked about its pool: ${errorText(error)}`, isObstacle: found.volume.lv_device_open !== '' };
  }
}

export function supportOf(planned: PlannedVolume): Support {
  return 'plan' in planned ? { ok: true, what: describePlan(planned.plan) } : planned;
}

/** @throws GantryError `SNAPSHOT_FAILED` where it was possible a moment ago, and is not now */
export function planOrThrow(request: SnapshotRequest, planned: PlannedVolume): PlannedRequest {
  if ('plan' in planned) return { request, plan: planned.plan };
  throw new GantryError('SNAPSHOT_FAILED', {
    message: `cannot take a snapshot of disk ${request.index} (${request.disk.path ?? ''}): ${planned.reason}`,
    hint: 'gantry snapshots check says what would be taken.',
    disk: request.index,
  });
}
