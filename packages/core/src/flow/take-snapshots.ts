import type { GuestControl } from '../instances/inventory.ts';
import type { Instance } from '../instances/model.ts';
import type { Reporter } from '../report/reporter.ts';
import { chooseProviders } from '../snapshots/choose.ts';
import type { SnapshotRequest } from '../snapshots/provider.ts';
import type { SnapshotMode } from '../snapshots/registry.ts';
import { createProviders } from '../snapshots/registry.ts';
import type { SnapshotConfig } from '../snapshots/snapshot-config.ts';
import type { SnapshotSize } from '../snapshots/snapshot-size.ts';
import type { SnapshotSet, SnapshotSetOptions } from '../snapshots/snapshot-set.ts';
import { takeSnapshotSet } from '../snapshots/snapshot-set.ts';
import type { Run } from '../runs/journal.ts';
import type { SelectedOs } from '../scripts/select.ts';
import type { ChangeTracking } from './track-changes.ts';

/** How an export or a move takes snapshots. */
export interface SnapshotChoice {
  /** The provider; default `auto`: for each disk the first of `SNAPSHOT_MODES` that works. */
  readonly snapshot?: SnapshotMode | undefined;
  /** What the provider `command` runs; see `readSnapshotConfig`. */
  readonly snapshotConfig?: SnapshotConfig | undefined;
  /** Space for a snapshot that needs some of its own; else what the configuration says, else the provider's default. */
  readonly snapshotSize?: SnapshotSize | undefined;
  /** Where the running guest is controlled, as the source of the instance says: for providers that hold its disks still there. */
  readonly guest?: GuestControl | undefined;
}

/** What was asked for, with what the configuration and the defaults say where it is silent. */
export function choiceOptions(request: SnapshotChoice): Pick<SnapshotSetOptions, 'mode' | 'config' | 'size' | 'guest'> {
  const { snapshot: mode = 'auto', snapshotConfig: config, snapshotSize: size = config?.size, guest } = request;
  return { mode, config, size, guest };
}

/** What would be taken of one disk. */
export interface PlannedSnapshot {
  readonly disk: number;
  readonly provider: string;
  /** What it would make, in words. */
  readonly what: string;
}

/** Says which snapshots would be taken of disks, and takes none. @throws GantryError `SNAPSHOT_UNSUPPORTED`, `SNAPSHOT_FULL` */
export async function planSnapshots(
  request: SnapshotChoice,
  disks: readonly number[],
  { instance, os, signal }: { instance: Instance; os: SelectedOs; signal: AbortSignal },
): Promise<readonly PlannedSnapshot[]> {
  const { mode, ...options } = choiceOptions(request);
  const requests = requestsOf(instance, disks, os);
  const planned: PlannedSnapshot[] = [];
  for (const { provider, requests: wanted } of await chooseProviders(mode, requests, await createProviders(options, mode), signal)) {
    for (const each of wanted) {
      const support = await provider.supports(each, signal);
      planned.push({ disk: each.index, provider: provider.name, what: support.ok ? support.what : provider.name });
    }
  }
  return planned.toSorted((a, b) => a.disk - b.disk);
}

function requestsOf(instance: Instance, disks: readonly number[], os: SelectedOs, tracking?: ChangeTracking): readonly SnapshotRequest[] {
  return disks.flatMap((index) => {
    const disk = instance.disks[index];
    const track = tracking?.request(index);
    return disk === undefined ? [] : { index, disk, instanceName: instance.name, needsPath: !os.definition.builtin, track };
  });
}

/** Takes snapshots of disks of an instance, all at one moment; disposing removes them. Reports each disk as waiting. */
export async function takeSnapshots(
  request: SnapshotChoice &
    Pick<SnapshotSetOptions, 'mayChange'> & { readonly changes?: { readonly tracking: ChangeTracking } | undefined },
  disks: readonly number[],
  { instance, os, run, reporter, signal }: { instance: Instance; os: SelectedOs; run: Run; reporter: Reporter; signal: AbortSignal },
): Promise<SnapshotSet> {
  const held = await takeSnapshotSet({
    ...choiceOptions(request),
    mayChange: request.mayChange,
    instanceName: instance.name,
    requests: requestsOf(instance, disks, os, request.changes?.tracking),
    run,
    warn: reporter.warn,
    stage: reporter.stage,
    signal,
  });
  for (const { index } of held.snapshots) reporter.disk(index, 'waiting');
  return held;
}
