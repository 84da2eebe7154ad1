import type { GuestControl } from '../instances/inventory.ts';
import type { Run } from '../runs/journal.ts';
import type { SnapshotPlan } from './choose.ts';
import { chooseProviders } from './choose.ts';
import { freeze, freezeUndo } from './freeze.ts';
import { HeldRecords } from './held-records.ts';
import type { MarksKept } from './mark-fate.ts';
import type { PreparedSnapshots, Snapshot, SnapshotContext, SnapshotProvider, SnapshotRecord, SnapshotRequest } from './provider.ts';
import type { SnapshotMode } from './registry.ts';
import { createProviders } from './registry.ts';
import type { SnapshotConfig } from './snapshot-config.ts';
import type { SnapshotSize } from './snapshot-size.ts';
import { giveFiles, snapshotFilesUndo } from './snapshot-files.ts';
import { snapshotUndo } from './undo-snapshot.ts';

export interface SnapshotSetOptions {
  readonly mode: SnapshotMode;
  readonly config?: SnapshotConfig | undefined;
  /** Space for snapshots that need some of their own; their provider's default where absent. */
  readonly size?: SnapshotSize | undefined;
  /** Where the instance's running guest is controlled, if that is known. */
  readonly guest?: GuestControl | undefined;
  /** Instead of those that come with Gantry, in the order in which `auto` prefers them. */
  readonly providers?: readonly SnapshotProvider[] | undefined;
  readonly instanceName: string;
  /** All disks of which snapshots are wanted. */
  readonly requests: readonly SnapshotRequest[];
  /** Disks of which no snapshot is taken may change while they are read: there is no warning about that. */
  readonly mayChange?: boolean | undefined;
  readonly run: Run;
  readonly warn: (message: string, disk?: number) => void;
  /** Called with what is about to be done, such as `snapshot of 2 disks (reflink)`. */
  readonly stage?: ((message: string) => void) | undefined;
  readonly signal: AbortSignal;
}

/** Stable views of all requested disks. Disposing drops them, whether the operation succeeded or not. */
export interface SnapshotSet extends AsyncDisposable {
  /** In the order of the requests. */
  readonly snapshots: readonly Snapshot[];
  /**
   * To be called with `latest` when what was read is complete where it belongs: the marks that these snapshots leave (`Snapshot.changes`)
   * become those to go on from. Else they go with the snapshots, and the earlier ones go on.
   *
   * @param keptBy by the name of the provider
   */
  readonly settleMarks: (keptBy: (provider: string) => MarksKept) => Promise<void>;
}

/**
 * Takes the snapshots of all disks or of none: if one fails, those taken before are dropped.
 * @throws GantryError SNAPSHOT_UNSUPPORTED, SNAPSHOT_FAILED, STATE_UNUSABLE; the signal's reason
 */
export async function takeSnapshotSet(options: SnapshotSetOptions): Promise<SnapshotSet> {
  const { mode, config, size, guest, instanceName, requests, run, warn, signal } = options;
  const providers = options.providers ?? (await createProviders({ config, size, guest }, mode));
  const plans = await chooseProviders(mode, requests, providers, signal);
  for (const plan of plans) options.stage?.(describePlan(plan));
  const held = new HeldRecords(
    run,
    { instance: instanceName },
    [freezeUndo, snapshotUndo((name) => providers.find((provider) => provider.name === name)), snapshotFilesUndo],
    warn,
  );
  const remember = (record: SnapshotRecord): Promise<void> =>
    held.remember(`${record.provider} ${record.index}`, { kind: 'snapshot', record }, record.index);
  const context: SnapshotContext = {
    runId: run.id,
    instanceName,
    remember,
    warn,
    note: options.stage,
    mayChange: options.mayChange,
    signal,
  };
  try {
    const prepared: PreparedSnapshots[] = [];
    for (const { provider, requests: wanted } of plans) prepared.push(await provider.prepare(wanted, context));
    const takesSome = plans.some(({ provider }) => provider.name !== 'none');
    if (takesSome) {
      const took = await whileFrozen(config, context, held, () => takeAll(prepared));
      options.stage?.(describeTaking(plans, took));
    }
    const snapshots: Snapshot[] = [];
    for (const each of prepared) snapshots.push(...(await each.open()));
    const forScripts = new Set(requests.flatMap(({ index, needsPath }) => (needsPath === true ? index : [])));
    const isForScripts = ({ index, nbd }: Snapshot): boolean => nbd !== undefined && forScripts.has(index);
    const files = await giveFiles(snapshots.filter(isForScripts), { held, runId: run.id, signal });
    return {
      snapshots: inOrder(requests, [...files, ...snapshots.filter((snapshot) => !isForScripts(snapshot))]),
      async settleMarks(keptBy) {
        for (const [at, { provider }] of plans.entries()) await prepared[at]?.settleMarks?.(keptBy(provider.name));
      },
      [Symbol.asyncDispose]: () => held.undoAll(),
    };
  } catch (error) {
    await held.undoAll();
    throw error;
  }
}

/** Gives how long it took, ms. */
async function takeAll(prepared: readonly PreparedSnapshots[]): Promise<number> {
  const started = performance.now();
  for (const each of prepared) await each.take();
  return performance.now() - started;
}

/** If thawing fails, the snapshots are still used: there is a warning, and thawing is tried again when they are dropped. */
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

function describeTaking(plans: readonly SnapshotPlan[], tookMs: number): string {
  const disks = plans.flatMap(({ provider, requests }) => (provider.name === 'none' ? [] : requests)).length;
  return `${disks === 1 ? '1 snapshot' : `${disks} snapshots`} taken within ${Math.ceil(tookMs)} ms`;
}

function inOrder(requests: readonly SnapshotRequest[], snapshots: readonly Snapshot[]): readonly Snapshot[] {
  return requests.flatMap(({ index }) => snapshots.find((snapshot) => snapshot.index === index) ?? []);
}
