import { randomUUID } from 'node:crypto';
import type { CallOptions, Store } from '@gantry/transport';
import type { ExportDirectory } from '../exports/directories.ts';
import { isSameRemoved } from '../exports/directories.ts';
import { formatExportReference, isReferencePart } from '../exports/export-id.ts';
import { lastLabels } from '../exports/export-labels.ts';
import { MANIFEST_FILE } from '../exports/layout.ts';
import type { PlannedDirectory, PlannedPack, PlannedRemoval, PrunePlan } from '../exports/prune-plan.ts';
import { planPrune } from '../exports/prune-plan.ts';
import type { Retired } from '../exports/removed.ts';
import { assertNoted, deletePacks, lastFiles, markUnused, noteRemoved, retireUnless } from '../exports/removed.ts';
import { removeFiles } from '../exports/remove-files.ts';
import type { RetentionDecision, RetentionPolicy } from '../exports/retention.ts';
import type { RefusedExport, Signers } from '../exports/signature.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { assertStoreFormat } from '../exports/store-marker.ts';
import { GantryError } from '../report/errors.ts';

/** With allowed signers, the signatures of the exports that stay are checked before others are removed. */
export interface PruneRequest extends CallOptions, Signers {
  readonly store: Store;
  /** Prunes the exports of these instances alone. */
  readonly instances?: readonly string[] | undefined;
  /** Which exports of each instance are kept. One that says nothing keeps them all: then only packs go. */
  readonly policy: RetentionPolicy;
  /** Where verifications of stores that cannot be written are remembered: what they found damaged counts as damaged. */
  readonly stateDirectory?: string | undefined;
  /** Only says what would be done. */
  readonly dryRun?: boolean | undefined;
  /** Called with each decision, one instance after the other, newest export first. */
  readonly decided?: ((instance: string, decision: RetentionDecision) => void) | undefined;
}

/** What a prune did, or would do. */
export interface PruneResult {
  /** `INSTANCE@EXPORT-ID` of the exports that were removed, newest first for each instance. */
  readonly removed: readonly string[];
  /** How many exports stay. */
  readonly kept: number;
  /** Bytes of the packs that were deleted: an earlier run had marked them. */
  readonly deletedBytes: number;
  /** Bytes of the packs that were marked: the next run deletes them. */
  readonly markedBytes: number;
  /** Why no pack was marked or deleted, one clause each: what could not be read. */
  readonly unclear: readonly string[];
  /** Exports that lack something, or in which a verification found damage: never counted, never removed. One clause each. */
  readonly damaged: readonly string[];
  /** Exports that stay, and whose signatures are refused. Of their instances, no export is removed. */
  readonly refused: readonly RefusedExport[];
  /** `INSTANCE@EXPORT-ID` of the exports that would have been removed, but got other labels meanwhile: they stay for the next run. */
  readonly relabeled: readonly string[];
}

/**
 * Removes the exports that a policy does not keep, marks the packs to which nothing refers any more, and deletes those that an earlier run
 * marked (docs/decisions/0119). The newest complete export of an instance always stays. With allowed signers, nothing of an instance is
 * removed if the signature of an export that stays is refused.
 *
 * @throws GantryError `USAGE`, `STORE_FULL` at the end if there was no space to note of removed exports that their packs stay, `STORE_*`:
 *   then nothing more is removed
 */
export function pruneStore(request: PruneRequest): Promise<PruneResult> {
  const { store, instances, policy, stateDirectory, dryRun, decided, allowedSigners, requireSignature, signal } = request;
  const wrong = instances?.find((instance) => !isReferencePart(instance));
  if (wrong !== undefined) throw new GantryError('USAGE', { message: `${JSON.stringify(wrong)} is not a valid instance name` });
  return withStoreErrors(store.address, async () => {
    await assertStoreFormat(store, { signal });
    const signers = { allowedSigners, requireSignature };
    const plan = await planPrune(store, { ...signers, instances, policy, now: new Date(), stateDirectory, decided, signal });
    if (plan.unclear.length > 0) forbidPacks(plan);
    // What was made on top of another is removed before it.
    plan.removals.reverse();
    const relabeled = dryRun === true ? [] : await carryOut(store, plan, { signal });
    const removals = plan.removals.filter((removal) => !relabeled.includes(removal));
    return {
      removed: removals.map(referenceOf),
      kept: plan.kept + relabeled.length,
      deletedBytes: sizeOf(plan.directories.flatMap(({ gone }) => gone)),
      markedBytes: sizeOf([...plan.directories, ...removals].flatMap(({ unused }) => unused)),
      unclear: plan.unclear,
      damaged: plan.damaged,
      refused: plan.refused,
      relabeled: relabeled.map(referenceOf),
    };
  });
}

function referenceOf({ instance, id }: PlannedRemoval): string {
  return formatExportReference(instance, id);
}

function forbidPacks(plan: PrunePlan): void {
  for (const directory of plan.directories) directory.gone = [];
  forbidMarks(plan);
}

function forbidMarks({ directories, removals }: PrunePlan): void {
  for (const planned of [...directories, ...removals]) planned.unused = [];
}

/** @returns the exports that got other labels since they were looked at, and stay */
async function carryOut(store: Store, plan: PrunePlan, options: CallOptions): Promise<readonly PlannedRemoval[]> {
  const { directories, removals } = plan;
  const runId = randomUUID();
  for (const directory of directories) await tidyDirectory(store, directory, options);
  const outcomes = new Map<PlannedRemoval, Retired>();
  for (const removal of removals) outcomes.set(removal, await removePlanned(store, removal, runId, options));
  const relabeled = removals.filter((removal) => outcomes.get(removal) === 'kept');
  // What they refer to is in use: the next run looks again.
  if (relabeled.length > 0) forbidMarks(plan);
  for (const planned of [...removals, ...directories]) await markUnused(store, planned, namesOf(planned.unused), { ...options, runId });
  // By now there may be space.
  const unnoted: PlannedRemoval[] = [];
  for (const removal of removals.filter((each) => outcomes.get(each) === 'full'))
    if (!(await noteRemoved(store, removal, namesOf(removal.packs), { ...options, runId }))) unnoted.push(removal);
  assertNoted(store, unnoted);
  return relabeled;
}

/** Deletes what may go of a removed export, `removed.json` last: unless another run has done so, and a copy brought the export back. */
async function tidyDirectory(store: Store, directory: PlannedDirectory, options: CallOptions): Promise<void> {
  const { packs, gone, rest, files } = directory;
  const isAny = gone.length + rest.length > 0 || packs.length === 0;
  if (!isAny) return;
  if (!(await isSameRemoved(store, directory, options))) {
    directory.gone = [];
    directory.unused = [];
    return;
  }
  await removeFiles(store, directory, rest, options);
  await deletePacks(store, directory, namesOf(gone), options);
  if (gone.length === packs.length) await removeFiles(store, directory, lastFiles(files), options);
}

/** In a full store, which has no space for `removed.json`, all goes that need not stay. */
async function removePlanned(store: Store, removal: PlannedRemoval, runId: string, options: CallOptions): Promise<Retired> {
  const isRelabeled = (now: ExportDirectory): boolean => now.files.has(MANIFEST_FILE) && lastLabels(now) !== removal.labels;
  const outcome = await retireUnless(store, removal, isRelabeled, { ...options, runId });
  if (outcome === 'full') await removeFiles(store, removal, removal.rest, options);
  return outcome;
}

function namesOf(packs: readonly PlannedPack[]): readonly string[] {
  return packs.map(({ name }) => name);
}

function sizeOf(packs: readonly PlannedPack[]): number {
  return packs.reduce((sum, { size }) => sum + size, 0);
}
