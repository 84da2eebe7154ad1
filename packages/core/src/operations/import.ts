import type { Store } from '@gantry/transport';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import { readDump } from '../exports/read-dump.ts';
import { beginRun } from '../flow/session.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { writeDisk } from '../flow/disk-target.ts';
import { isStoredPlain } from '../frames/codecs/registry.ts';
import { inDump } from '../frames/damage.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import { GantryError } from '../report/errors.ts';
import type { OriginalDisk } from '../flow/import-checks.ts';
import { assertEnoughDisks, assertRoom, assertSameOs } from '../flow/import-checks.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import { inspectDisks } from '../disks/inspect-disks.ts';
import type { WritePlan } from '../report/events.ts';
import type { IncomingData } from '../flow/check-data.ts';
import { checkIncoming, warnOfCutDump } from '../flow/check-data.ts';
import type { ConsentOptions } from '../flow/write-plan.ts';
import { assertConsent, planImport } from '../flow/write-plan.ts';
import type { Instance } from '../instances/model.ts';
import type { Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, createReporter, reportPhases } from '../report/reporter.ts';
import { checkParameters } from '../scripts/parameters.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { scriptHooks } from '../flow/script-hooks.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { Run } from '../runs/journal.ts';
import type { TargetRequest } from '../flow/target-use.ts';
import { assertTargetsUnused } from '../flow/target-use.ts';
import { verifyDumps } from './verify.ts';

export interface ImportRequest extends TargetRequest, ConsentOptions {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** Only these disks, by index. */
  readonly disks?: readonly number[] | undefined;
  /** How many disks are imported at once; default 4. */
  readonly parallel?: number | undefined;
  /** Reads and checks every dump before the first byte is written. */
  readonly checkFirst?: boolean | undefined;
  /** Allows another OS definition than the one that made the dumps. */
  readonly allowOtherOs?: boolean | undefined;
}

export interface ImportResult {
  /** `INSTANCE@EXPORT-ID` of what was imported. */
  readonly reference: string;
  readonly instance: string;
  /** Indexes of the disks that were written. */
  readonly disks: readonly number[];
  readonly plainBytes: number;
  /** What was overwritten with what; with `dryRun`, what would be. */
  readonly plan: WritePlan;
  readonly dryRun: boolean;
  readonly warnings: readonly string[];
}

/** The state of a disk, for the report when the import fails. */
type DiskState = 'untouched' | 'written in part: import it again before it is used' | 'complete';

/** What all disks of one import share. */
interface Work {
  readonly request: ImportRequest;
  readonly found: StoredExport;
  readonly os: SelectedOs;
  readonly instance: Instance;
  readonly incoming: ReadonlyMap<number, IncomingData>;
  readonly run: Run;
  readonly reporter: Reporter;
  readonly budget: MemoryBudget;
  readonly states: Map<number, DiskState>;
}

/**
 * Imports an export into the disks of an instance. No byte of a frame is passed on before it was checked. When this rejects after the first
 * write, warnings have reported the state of each disk.
 *
 * @throws GantryError, or the reason of the signal
 */
export function importInstance(request: ImportRequest): Promise<ImportResult> {
  return withFirstError(() => runImport(request));
}

async function runImport(request: ImportRequest): Promise<ImportResult> {
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('import', request.onEvent);

  const os = await chooseOs(request.instance, 'import', request);
  const found = await openExport(request.store, request.export, { signal });
  for (const warning of found.warnings) reporter.warn(warning);
  if (found.origin === 'ganeti')
    reporter.warn(`${found.reference} was made by Ganeti: it carries no checksums, so damage may go unnoticed`);
  assertSameOs(os, found.os, found.reference, request.allowOtherOs === true);
  const dumps = selectDumps(found, request);
  const disks = dumps.map(({ index }) => index);
  if (request.disks === undefined) warnOfMissing(found, request.instance.disks.length, reporter);
  const inspected = await inspectDisks(request.instance, { purpose: 'import', disks, signal });
  for (const { message, disk } of inspected.warnings) reporter.warn(message, disk);
  const originals = await findOriginals(found, dumps, signal);
  assertRoom(os, originals, found.reference, inspected, reporter);

  const { instance } = inspected;
  await using run = await beginRun({ instance, disks, diskLock: 'exclusive', stateDirectory: request.stateDirectory, reporter, signal });
  await assertTargetsUnused(instance, disks, { force: request.forceInUse === true, guard: request.guard, reporter, signal });
  const plan = await planImport(found, originals, inspected, signal);
  reporter.emit({ type: 'plan', operation: 'import', ...plan });
  const result = { reference: found.reference, instance: instance.name, disks, plan, warnings: reporter.warnings };
  if (request.dryRun === true) return { ...result, plainBytes: 0, dryRun: true };
  await assertConsent(plan, request, signal);
  await checkParameters(os, instance, scriptHooks('verify', { run, reporter, signal, debug: request.debug }));
  if (request.checkFirst === true) {
    reporter.stage(`checking ${found.reference} before anything is written`);
    await verifyDumps(found, dumps, { reporter, signal, parallel: request.parallel });
  }
  reporter.stage(`importing ${found.reference} into ${instance.name}`);
  const incoming = new Map(originals.map((original) => [original.index, describeIncoming(original, found, os, inspected)]));
  const work: Work = {
    request,
    found,
    os,
    instance,
    incoming,
    run,
    reporter,
    budget: new MemoryBudget(DEFAULT_BUDGET_BYTES),
    states: new Map(),
  };
  const plainBytes = await writeDisks(work, dumps, signal);
  return { ...result, plainBytes, dryRun: false };
}

function describeIncoming(
  { index, plainBytes, size }: OriginalDisk,
  { reference }: StoredExport,
  { definition }: SelectedOs,
  { diskBytes }: InspectedDisks,
): IncomingData {
  return { disk: index, from: reference, isRaw: definition.builtin, plainBytes, originalSize: size, targetBytes: diskBytes[index] };
}

/** @throws GantryError `DISK_TOO_FEW`, `DUMP_MISSING` */
function selectDumps(found: StoredExport, { instance, disks }: ImportRequest): readonly StoredDump[] {
  const missing = disks?.find((index) => !found.dumps.some((dump) => dump.index === index));
  if (missing !== undefined) {
    throw new GantryError('DUMP_MISSING', {
      message: `${found.reference} has no dump of disk ${missing}`,
      hint: `It has dumps of: ${found.dumps.map(({ index }) => `disk ${index}`).join(', ')}.`,
      disk: missing,
    });
  }
  if (disks === undefined)
    assertEnoughDisks(
      found.dumps.map(({ index }) => index),
      found.reference,
      instance,
    );
  return disks === undefined ? found.dumps : found.dumps.filter(({ index }) => disks.includes(index));
}

/** Warns of disks without a dump: an import that skips disks must not look like one of all disks. */
function warnOfMissing({ reference, dumps, manifest, config }: StoredExport, targets: number, reporter: Reporter): void {
  if (dumps.length === 0 && targets > 0) reporter.warn(`${reference} has no dump of any disk: nothing is written`);
  else {
    const known = manifest?.instance.disks.map((_, index) => index) ?? config?.disks.map(({ index }) => index) ?? [];
    for (const index of known.filter((index) => !dumps.some((dump) => dump.index === index)))
      reporter.warn(`${reference} has no dump of this disk, which was not exported: it is not changed`, index);
  }
}

/** What is known of the disks that the dumps were made from, before the first byte is read. */
async function findOriginals(found: StoredExport, dumps: readonly StoredDump[], signal: AbortSignal): Promise<readonly OriginalDisk[]> {
  const sizes = await found.checkDumpsPresent({ disks: dumps.map(({ index }) => index), signal });
  return dumps.map(({ index, record, codec, diskSize }, place) => ({
    index,
    plainBytes: record?.plainBytes ?? (isStoredPlain(codec) ? sizes[place]?.size : undefined),
    size: diskSize,
  }));
}

/** @returns plain bytes of all disks */
async function writeDisks(work: Work, dumps: readonly StoredDump[], signal: AbortSignal): Promise<number> {
  const { request, reporter, states } = work;
  for (const { index, record } of dumps) {
    states.set(index, 'untouched');
    reporter.disk(index, 'waiting', record?.plainBytes);
  }
  try {
    const bytes = await sideBySide(dumps, request.parallel ?? DEFAULT_PARALLEL_DISKS, signal, (dump, signal) =>
      reportPhases(reporter, dump.index, () => inDump(dump.name, dump.index, importDump(work, dump, signal))),
    );
    return bytes.reduce((total, number) => total + number, 0);
  } catch (error) {
    for (const [disk, state] of states) reporter.warn(state, disk);
    throw states.size > 1 && request.parallel !== 1 ? withOneByOne(error) : error;
  }
}

/** Scripts of some definitions disturb each other: those that use restore(8) work in a directory named by the dump. */
function withOneByOne(error: unknown): unknown {
  if (!(error instanceof GantryError) || !SCRIPT_FAILURES.has(error.code)) return error;
  const { code, message, hint = '', disk, details } = error;
  const oneByOne = 'If the scripts of this definition cannot run side by side, import with --parallel 1.';
  return new GantryError(code, { message, hint: `${hint} ${oneByOne}`.trim(), disk, details, cause: error });
}

const SCRIPT_FAILURES: ReadonlySet<GantryErrorCode> = new Set(['SCRIPT_FAILED', 'SCRIPT_SIGNALLED', 'SCRIPT_CLOSED_INPUT']);

async function importDump(work: Work, dump: StoredDump, signal: AbortSignal): Promise<number> {
  const { found, os, instance, incoming, run, reporter, request, budget, states } = work;
  const { index, record } = dump;
  let total = 0;
  let totalStored = 0;
  const tell = reporter.progressOf(index, () => record?.plainBytes);
  const pieces = readDump(found, dump, {
    budget,
    signal,
    warn: reporter.warn,
    onProgress: (plainBytes, storedBytes) => {
      total = plainBytes;
      totalStored = storedBytes;
      tell(plainBytes, storedBytes);
    },
  });
  const hooks = scriptHooks('import', { run, reporter, signal, debug: request.debug, disk: index });
  await writeDisk(os, {
    ...hooks,
    signal,
    instance,
    disk: index,
    pieces,
    forceInUse: request.forceInUse === true,
    checkFirst: (piece) => checkIncoming(incoming.get(index), piece, found.origin, reporter),
    onTouch: () => states.set(index, 'written in part: import it again before it is used'),
  });
  states.set(index, 'complete');
  if (found.origin === 'ganeti') warnOfCutDump(incoming.get(index), total, reporter);
  tell(total, totalStored, true);
  return total;
}
