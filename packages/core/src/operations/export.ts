import type { Store } from '@gantry/transport';
import type { DumpRecord } from '../exports/manifest.ts';
import { describeInstance } from '../exports/manifest.ts';
import { isGanetiDirectory } from '../exports/ganeti-directory.ts';
import { dumpFileName } from '../exports/layout.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import type { ManifestDraft, StoreExportWriter } from '../exports/store-sink.ts';
import { storeSink } from '../exports/store-sink.ts';
import type { UnfinishedExport } from '../exports/unfinished.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import { beginRun } from '../flow/session.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { describeEmptySource, openDiskSource, untilLost } from '../flow/disk-source.ts';
import { chooseLevel } from '../frames/codecs/levels.ts';
import type { Codec } from '../frames/codecs/registry.ts';
import { DEFAULT_CODEC } from '../frames/codecs/registry.ts';
import { DEFAULT_BUDGET_BYTES, encodeDump } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { SnapshotChoice } from '../flow/take-snapshots.ts';
import { takeSnapshots } from '../flow/take-snapshots.ts';
import { inspectDisks } from '../disks/inspect-disks.ts';
import type { Instance } from '../instances/model.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, createReporter, reportPhases } from '../report/reporter.ts';
import { checkParameters } from '../scripts/parameters.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { StartSpacing } from '../scripts/start-spacing.ts';
import { scriptHooks } from '../flow/script-hooks.ts';
import { selectDisks } from '../flow/select-disks.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { Snapshot } from '../snapshots/provider.ts';
import type { Run } from '../runs/journal.ts';
import { TOOL } from '../report/version.ts';

export interface ExportRequest extends OperationOptions, SnapshotChoice {
  readonly instance: Instance;
  /** Where the export goes. The caller disposes it. */
  readonly store: Store;
  /** Default `zstd`. */
  readonly codec?: Codec | undefined;
  /** Level of the codec; default: the codec's own. */
  readonly level?: number | undefined;
  /** Only these disks, by index. */
  readonly disks?: readonly number[] | undefined;
  /** How many disks are exported at once; default 4. */
  readonly parallel?: number | undefined;
  /** Writes private OS parameters into the export too. */
  readonly includePrivate?: boolean | undefined;
  /** Makes a new store if there is none. Otherwise that is refused with `STORE_NOT_FOUND`. */
  readonly createStore?: boolean | undefined;
}

export interface ExportResult {
  /** `INSTANCE@EXPORT-ID` */
  readonly reference: string;
  readonly instance: string;
  readonly exportId: string;
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly dumps: readonly DumpRecord[];
  readonly warnings: readonly string[];
}

/** What all disks of one export share. */
interface Work {
  readonly request: ExportRequest;
  readonly os: SelectedOs;
  readonly instance: Instance;
  readonly diskBytes: readonly (number | undefined)[];
  readonly run: Run;
  readonly reporter: Reporter;
  /** Shared by all disks, so that memory does not grow with their number. */
  readonly budget: MemoryBudget;
  readonly spacing: StartSpacing;
}

/**
 * Exports the disks of an instance into a store. The export becomes visible there when all disks are complete, durable and have their
 * digests; when this rejects, nothing is left of it.
 *
 * @throws GantryError, or the reason of the signal
 */
export function exportInstance(request: ExportRequest): Promise<ExportResult> {
  return withFirstError(() => runExport(request));
}

async function runExport(request: ExportRequest): Promise<ExportResult> {
  const started = new Date();
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('export', request.onEvent);
  // A wrong level is refused before a guest is frozen.
  const level = chooseLevel(request.codec ?? DEFAULT_CODEC, request.level);

  const os = await chooseOs(request.instance, 'export', request);
  const disks = selectDisks(request.instance, request.disks);
  const { instance, warnings, diskBytes } = await inspectDisks(request.instance, { purpose: 'export', disks, signal });
  for (const { message, disk } of warnings) reporter.warn(message, disk);

  await using run = await beginRun({ instance, disks, diskLock: 'shared', stateDirectory: request.stateDirectory, reporter, signal });
  await checkParameters(os, instance, scriptHooks('verify', { run, reporter, signal, debug: request.debug }));

  const work: Work = {
    request: { ...request, level },
    os,
    instance,
    diskBytes,
    run,
    reporter,
    budget: new MemoryBudget(DEFAULT_BUDGET_BYTES),
    spacing: new StartSpacing(),
  };
  const sink = storeSink(request.store, { warn: (message) => reporter.warn(message), createStore: request.createStore });
  const names = disks.map((disk) => dumpFileName(disk, request.codec ?? 'zstd'));
  const header = { instance: instance.name, started: started.toISOString(), runId: run.id, tool: TOOL, dumps: names };
  return await withStoreErrors(request.store.address, async () => {
    await clearDeadExports(request.store, instance.name, reporter, signal);
    await warnOfGanetiDirectory(request.store, instance.name, reporter, signal);
    await using writer = await sink.open(header, { signal });
    reporter.stage(`exporting ${writer.reference} to ${request.store.address}`);
    const dumps = await dumpDisks(work, writer, disks, signal);
    await writer.commit(composeManifest({ request, os, instance, exportId: writer.id, started, dumps }), { signal });
    return {
      reference: writer.reference,
      instance: instance.name,
      exportId: writer.id,
      plainBytes: sum(dumps.map((dump) => dump.plainBytes)),
      storedBytes: sum(dumps.map((dump) => dump.storedBytes)),
      dumps,
      warnings: reporter.warnings,
    };
  });
}

async function warnOfGanetiDirectory(store: Store, instance: string, reporter: Reporter, signal: AbortSignal): Promise<void> {
  if (!(await isGanetiDirectory(store, instance, { signal }))) return;
  reporter.warn(
    `${store.address} is where Ganeti keeps its own exports: "gnt-backup export ${instance}" removes all exports of ${instance} there, including this one. Use another directory`,
  );
}

/** Clears what killed exports of this instance left in the store, if their processes ran on this machine. */
async function clearDeadExports(store: Store, instance: string, reporter: Reporter, signal: AbortSignal): Promise<void> {
  for (const unfinished of await findUnfinishedIfAny(store, instance, reporter, signal)) {
    if (unfinished.owner !== 'dead') continue;
    if ((await clearUnfinished(store, unfinished, { signal })) !== 'cleared') continue;
    reporter.warn(`cleared the remains of a killed export in the store: ${unfinished.name}, ${unfinished.text}`);
  }
}

/** Finds nothing if there is no store yet. */
async function findUnfinishedIfAny(
  store: Store,
  instance: string,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<readonly UnfinishedExport[]> {
  try {
    return await findUnfinished(store, { instance, signal });
  } catch (error) {
    if (error instanceof GantryError && error.code === 'STORE_NOT_FOUND') return [];
    if (error instanceof GantryError && error.code === 'STORE_DENIED' && store.capabilities.createOnly) {
      reporter.warn(
        'cannot list the store (permission denied): remains of killed exports stay there until they are cleared with more permissions',
      );
      return [];
    }
    throw error;
  }
}

/** Takes snapshots of the disks, dumps them side by side, and removes the snapshots. */
async function dumpDisks(work: Work, writer: StoreExportWriter, disks: readonly number[], signal: AbortSignal): Promise<DumpRecord[]> {
  const { request, reporter, instance, run } = work;
  await using held = await takeSnapshots(request, disks, { instance, run, reporter, signal });
  const parallel = request.parallel ?? DEFAULT_PARALLEL_DISKS;
  return await sideBySide(held.snapshots, parallel, signal, (snapshot, signal) =>
    reportPhases(reporter, snapshot.index, () => dumpDisk(work, writer, snapshot, untilLost(snapshot, signal))),
  );
}

/** Dumps one disk, from its script to the store. The dump is finished only after the script succeeded. */
async function dumpDisk(work: Work, writer: StoreExportWriter, snapshot: Snapshot, signal: AbortSignal): Promise<DumpRecord> {
  const { request, os, instance, diskBytes, run, reporter, budget, spacing } = work;
  const { index } = snapshot;
  const codec = request.codec ?? DEFAULT_CODEC;
  const hooks = {
    ...scriptHooks('export', { run, reporter, signal, debug: request.debug, disk: index }),
    beforeStart: () => spacing.turn(signal),
  };
  await using source = openDiskSource(os, { ...hooks, instance, disk: index, view: snapshot, diskBytes: diskBytes[index] });
  const tell = reporter.progressOf(index, () => source.expectedBytes());
  const encoder = encodeDump(source, { codec, level: request.level, budget, signal, onProgress: tell });
  const name = dumpFileName(index, codec);
  await using dump = await writer.dump(name, { signal });
  const summary = await dump.write(encoder, { signal });
  tell(summary.plainBytes, summary.storedBytes, true);
  if (summary.plainBytes === 0) reporter.warn(describeEmptySource(os, diskBytes[index]), index);
  const diskSize = instance.disks[index]?.size;
  const expectedBytes = source.expectedBytes();
  return {
    index,
    name,
    ...summary,
    ...(diskSize === undefined ? {} : { diskSize }),
    ...(expectedBytes === undefined ? {} : { expectedBytes }),
    messages: source.messages(),
    snapshot: snapshot.kind,
  };
}

interface ManifestParts extends Pick<Work, 'request' | 'os' | 'instance'> {
  readonly exportId: string;
  readonly started: Date;
  readonly dumps: readonly DumpRecord[];
}

function composeManifest({ request, os, instance, exportId, started, dumps }: ManifestParts): ManifestDraft {
  const { definition, variant } = os;
  return {
    format: 'gantry-export',
    tool: TOOL,
    exportId,
    started: started.toISOString(),
    ended: new Date().toISOString(),
    os: { name: definition.name, ...(variant === '' ? {} : { variant }), apiVersion: definition.apiVersion },
    instance: describeInstance(instance, { includePrivate: request.includePrivate === true }),
    dumps,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
