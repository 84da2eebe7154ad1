import type { ProviderOptions, SnapshotProvider, SnapshotRequest } from '../provider.ts';
import { whyTooLittle } from './plan.ts';
import { planOrThrow, planPath, supportOf } from './plan-path.ts';
import type { PlannedRequest } from './volume-snapshots.ts';
import { VolumeSnapshots } from './volume-snapshots.ts';

/** Snapshots of disks that are logical volumes: thin ones of thin volumes, classic ones of all others. */
export function createLvmProvider({ size }: ProviderOptions): SnapshotProvider & { readonly name: 'lvm' } {
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
