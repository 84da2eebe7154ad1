import type { Run } from '../runs/journal.ts';
import type { SnapshotPlan } from './choose.ts';
import { chooseProviders } from './choose.ts';
import { freeze, freezeUndo } from './freeze.ts';
import { HeldRecords } from './held-records.ts';
import type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRecord, SnapshotRequest } from './provider.ts';
import type { SnapshotMode } from './registry.ts';
import { createProviders } from './registry.ts';
import type { SnapshotConfig } from './snapshot-config.ts';
import { snapshotUndo } from './undo-snapshot.ts';

export interface SnapshotSetOptions {
  readonly mode: SnapshotMode;
  readonly config?: SnapshotConfig | undefined;
  /** Instead of those that come with Gantry, in the order in which `auto` prefers them. */
  readonly providers?: readonly SnapshotProvider[] | undefined;
  readonly instanceName: string;
  /** All disks that are wanted, together. */
  readonly requests: readonly SnapshotRequest[];
  readonly run: Run;
  readonly warn: (message: string, disk?: number) => void;
  /** Told what is about to be done, such as `snapshot of 2 disks (reflink)`. */
  readonly stage?: ((message: string) => void) | undefined;
  readonly signal: AbortSignal;
}

/** Stable views of all disks that were asked for. Disposing drops them, whatever became of the operation. */
export interface SnapshotSet extends AsyncDisposable {
  /** In the order of the requests. */
  readonly snapshots: readonly Snapshot[];
}

/**
 * Takes the snapshots of all disks, or of none: what was taken before something failed is dropped again.
 * @throws GantryError SNAPSHOT_UNSUPPORTED, SNAPSHOT_FAILED, STATE_UNUSABLE; the signal's reason
 */
export async function takeSnapshotSet(options: SnapshotSetOptions): Promise<SnapshotSet> {
  const { mode, config, instanceName, requests, run, warn, signal } = options;
  const providers = options.providers ?? createProviders(config);
  const plans = await chooseProviders(mode, requests, providers, signal);
  for (const plan of plans) options.stage?.(describePlan(plan));
  const held = new HeldRecords(run, { instance: instanceName }, [freezeUndo, snapshotUndo(providers)], warn);
  const remember = (record: SnapshotRecord): Promise<void> =>
    held.remember(`${record.provider} ${record.index}`, { kind: 'snapshot', record }, record.index);
  const context: SnapshotContext = { runId: run.id, instanceName, remember, warn, signal };
  try {
    const [live, still] = [
      plans.filter(({ provider }) => provider.name === 'none'),
      plans.filter(({ provider }) => provider.name !== 'none'),
    ];
    const snapshots = await takeAll(live, context);
    if (still.length > 0) snapshots.push(...(await whileFrozen(config, context, held, () => takeAll(still, context))));
    return { snapshots: inOrder(requests, snapshots), [Symbol.asyncDispose]: () => held.undoAll() };
  } catch (error) {
    await held.undoAll();
    throw error;
  }
}

async function takeAll(plans: readonly SnapshotPlan[], context: SnapshotContext): Promise<Snapshot[]> {
  const snapshots: Snapshot[] = [];
  for (const { provider, requests } of plans) snapshots.push(...(await provider.take(requests, context)));
  return snapshots;
}

/** That thawing fails is no reason to throw away the snapshots: it is told, and tried once more when they are dropped. */
async function whileFrozen<T>(
  config: SnapshotConfig | undefined,
  context: SnapshotContext,
  held: HeldRecords,
  work: () => Promise<T>,
): Promise<T> {
  const frozen = await freeze(config, context, held);
  try {
    return await work();
  } finally {
    if (frozen !== undefined) await held.undo(frozen);
  }
}

function describePlan({ provider, requests }: SnapshotPlan): string {
  const disks = requests.length === 1 ? '1 disk' : `${requests.length} disks`;
  return provider.name === 'none' ? `no snapshot of ${disks}` : `snapshot of ${disks} (${provider.name})`;
}

function inOrder(requests: readonly SnapshotRequest[], snapshots: readonly Snapshot[]): readonly Snapshot[] {
  return requests.flatMap(({ index }) => snapshots.find((snapshot) => snapshot.index === index) ?? []);
}
