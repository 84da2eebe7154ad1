import type { Run } from '../state/journal.ts';
import type { SnapshotMode, SnapshotPlan } from './choose.ts';
import { builtinProviders, chooseProviders } from './choose.ts';
import { freeze } from './freeze.ts';
import { HeldRecords } from './held-records.ts';
import type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRequest } from './provider.ts';
import type { SnapshotConfig } from './snapshot-config.ts';

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
export async function takeSnapshots(options: SnapshotSetOptions): Promise<SnapshotSet> {
  const { mode, config, instanceName, requests, run, warn, signal } = options;
  const providers = options.providers ?? builtinProviders(config);
  const plans = await chooseProviders(mode, requests, providers, signal);
  for (const plan of plans) options.stage?.(describePlan(plan));
  const held = new HeldRecords(run, providers, warn);
  const context: SnapshotContext = { runId: run.id, instanceName, remember: (record) => held.remember(record), warn, signal };
  try {
    const snapshots: Snapshot[] = [];
    const thaw = plans.some(({ provider }) => provider.name !== 'none') ? await freezeWith(config, context, held) : undefined;
    try {
      for (const plan of plans) snapshots.push(...(await plan.provider.take(plan.requests, context)));
    } finally {
      await thaw?.();
    }
    return { snapshots: inOrder(requests, snapshots), [Symbol.asyncDispose]: () => held.dropAll() };
  } catch (error) {
    await held.dropAll();
    throw error;
  }
}

function describePlan({ provider, requests }: SnapshotPlan): string {
  const disks = requests.length === 1 ? '1 disk' : `${requests.length} disks`;
  return provider.name === 'none' ? `no snapshot of ${disks}` : `snapshot of ${disks} (${provider.name})`;
}

/** What thaws again; that this fails is no reason to throw away the snapshots, and it is tried once more when they are dropped. */
async function freezeWith(config: SnapshotConfig | undefined, context: SnapshotContext, held: HeldRecords): Promise<() => Promise<void>> {
  const record = await freeze(config, context);
  return async () => {
    if (record !== undefined) await held.drop(record);
  };
}

function inOrder(requests: readonly SnapshotRequest[], snapshots: readonly Snapshot[]): readonly Snapshot[] {
  return requests.flatMap(({ index }) => snapshots.find((snapshot) => snapshot.index === index) ?? []);
}
