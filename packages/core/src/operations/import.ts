import type { Store } from '@gantry/transport';
import { assertDisksKnown } from '../disks/inspect-disks.ts';
import type { Mended } from '../disks/mend-device.ts';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import type { Signers } from '../exports/signature.ts';
import { assertOpened } from '../exports/unsealing.ts';
import { readDump } from '../exports/read-dump.ts';
import type { IncomingData } from '../flow/check-data.ts';
import { checkIncoming, warnOfCutDump } from '../flow/check-data.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { assertSameOs, warnOfOtherDisks } from '../flow/import-checks.ts';
import type { MadeTargets, TargetOptions } from '../flow/import-targets.ts';
import { inspectTargets, makeTargets } from '../flow/import-targets.ts';
import type { DefinedInstance, DefineOptions } from '../flow/definition.ts';
import { Definition } from '../flow/definition.ts';
import { receiveDisk } from '../flow/in.ts';
import { sessionChecks } from '../flow/plan-checks.ts';
import { resumeDisk } from '../flow/resume-in.ts';
import { describeIncoming, findOriginals, selectDumps, warnOfMissing } from '../flow/select-dumps.ts';
import type { Session } from '../flow/session.ts';
import { checkSessionParameters, openSession, startCall } from '../flow/session.ts';
import type { TargetRequest } from '../flow/target-use.ts';
import { assertTargetsUnused } from '../flow/target-use.ts';
import { checkSigned, isCheckedFirst, readAsSigned } from '../flow/signed-import.ts';
import { verifyDumps } from '../flow/verify-dumps.ts';
import type { ConsentOptions } from '../flow/write-plan.ts';
import { assertConsent, planImport } from '../flow/write-plan.ts';
import { inDump } from '../frames/damage.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { PlainPiece } from '../frames/types.ts';
import type { NativeFile } from '../instances/inventory.ts';
import { errorText } from '../report/error-text.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import type { PlanCheck, PlannedTarget, WritePlan } from '../report/events.ts';
import { quoteWord } from '../report/quote-word.ts';
import { withFirstError } from '../report/first-error.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { sum } from '../system/sum.ts';

export interface ImportRequest extends TargetRequest, ConsentOptions, TargetOptions, Signers {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /**
   * That export, if it was opened in this store already, such as to make `instance` from it: what is signed is then what was used. It is
   * opened where absent.
   */
  readonly opened?: StoredExport | undefined;
  /** Only these disks, by index. */
  readonly disks?: readonly number[] | undefined;
  /** How many disks are imported at once; default 4. */
  readonly parallel?: number | undefined;
  /** Reads and checks every dump before the first byte is written. */
  readonly checkFirst?: boolean | undefined;
  /**
   * Goes on with an import that was cut off: compares the disks with the export, and writes only what differs. A disk that a script
   * writes is written anew.
   */
  readonly resume?: boolean | undefined;
  /** Allows another OS definition than the one that made the dumps. */
  readonly allowOtherOs?: boolean | undefined;
  /** Makes the instance known when all disks are complete and durable, with the native description of the export. */
  readonly define?: DefineOptions | undefined;
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
  /** With `resume`: what was compared and written, for each disk that no script writes. */
  readonly resumed?: readonly ResumedDisk[];
  /** Where it became known, if that was asked for. */
  readonly defined?: DefinedInstance;
  readonly dryRun: boolean;
  /** With `dryRun`: what was checked. */
  readonly checks?: readonly PlanCheck[];
  readonly warnings: readonly string[];
}

/** A disk that was compared with its dump, and what came of that. */
export interface ResumedDisk extends Mended {
  readonly disk: number;
}

/** The state of a disk, for the report when the import fails. */
type DiskState = 'untouched' | 'written in part: import it again before it is used' | 'complete';

/** What all disks of one import share. */
interface DumpImport extends Pick<MadeTargets, 'session' | 'newDisks'> {
  /** Disks that this import makes. */
  readonly missing: ReadonlySet<number>;
  readonly request: ImportRequest;
  readonly found: StoredExport;
  readonly incoming: ReadonlyMap<number, IncomingData>;
  readonly budget: MemoryBudget;
  readonly states: Map<number, DiskState>;
  readonly resumed: ResumedDisk[];
}

/**
 * Imports an export into the disks of an instance. Disks that it created are removed if it fails. No byte of a frame is passed on before it was
 * checked: of a signed export without frame maps, which earlier versions made, against a checksum that is not signed. When this rejects after the first
 * write, warnings have reported the state of each disk.
 *
 * @throws GantryError, or the reason of the signal
 */
export function importInstance(request: ImportRequest): Promise<ImportResult> {
  return withFirstError(() => runImport(request));
}

async function runImport(request: ImportRequest): Promise<ImportResult> {
  const call = startCall('import', request);
  const { signal, reporter } = call;
  assertDisksKnown(request.instance, request.disks ?? []);
  const os = await chooseOs(request.instance, 'import', request);
  const opened = request.opened ?? (await openExport(request.store, request.export, { signal }));
  await checkSigned(request, opened, { reporter, signal });
  assertOpened(request.store, opened);
  const found = readAsSigned(request, opened);
  for (const warning of found.warnings) reporter.warn(warning);
  if (found.origin === 'ganeti') reporter.warn(`${found.reference} was made by Ganeti: it has no checksums, so damage may go unnoticed`);
  assertSameOs(os, found.os, found.reference, request.allowOtherOs === true);
  const dumps = selectDumps(found, request);
  const disks = dumps.map(({ index }) => index);
  if (request.disks === undefined) warnOfMissing(found, request.instance.disks.length, reporter);
  const originals = await findOriginals(found, dumps, signal);
  const targets = await inspectTargets(call, { ...request, os, originals, from: found.reference });
  const { inspected, existing, missing, unnamed } = targets;

  await using session = await openSession(call, { os, inspected, disks, diskLock: 'exclusive', missing });
  await assertTargetsUnused({ ...session, disks: existing }, request);
  const plan = await planImport(found, originals, targets, signal);
  reporter.emit({ type: 'plan', operation: 'import', ...plan });
  const definition = request.define && (await checkDefinition(request.define, session, found));
  const result = { reference: found.reference, instance: session.instance.name, disks, plan, warnings: reporter.warnings };
  await checkSessionParameters(session);
  if (request.dryRun === true) return { ...result, plainBytes: 0, dryRun: true, checks: checksOf(session, { found, plan, definition }) };
  await assertConsent(plan, { ...request, unnamed }, signal);
  if (request.checkFirst === true || isCheckedFirst(request, found)) {
    reporter.stage(`checking ${found.reference} before anything is written`);
    await verifyDumps(found, dumps, { reporter, signal, parallel: request.parallel });
  }
  reporter.stage(`importing ${found.reference} into ${session.instance.name}`);
  await using made = await makeTargets(session, targets, { disks, forceInUse: request.forceInUse === true });
  const incoming = new Map(originals.map((original) => [original.index, describeIncoming(original, found, os, made.session.inspected)]));
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  if (request.resume === true && !os.definition.builtin) reporter.warn(`--resume: the import script of ${os.definition.name} starts anew`);
  const work: DumpImport = { ...made, missing, request, found, incoming, budget, states: new Map(), resumed: [] };
  const plainBytes = await writeDisks(work, dumps);
  await made.newDisks.commit();
  const defined = definition && { defined: await makeKnown(definition, session, { request, found }) };
  const resumed = work.resumed.length === 0 ? {} : { resumed: work.resumed.toSorted((a, b) => a.disk - b.disk) };
  return { ...result, plainBytes, ...resumed, ...defined, dryRun: false };
}

/** What was checked before a dry run ends. */
function checksOf(
  session: Session,
  { found, plan, definition }: { readonly found: StoredExport; readonly plan: WritePlan; readonly definition: Definition | undefined },
): readonly PlanCheck[] {
  const dumps = plan.disks.length === 1 ? '1 dump is there with its size' : `${plan.disks.length} dumps are there with their sizes`;
  return [
    ...sessionChecks(session),
    { check: 'export', says: `${found.reference} is complete, and ${dumps}` },
    ...plan.disks.map(
      ({ disk, target, action }) => ({ check: 'disk', disk, says: `${target} ${FITNESS[action ?? 'overwrite']}` }) as const,
    ),
    ...(definition === undefined ? [] : [{ check: 'define', says: `${definition.name} can be defined in ${definition.source}` } as const]),
  ];
}

const FITNESS: Readonly<Record<NonNullable<PlannedTarget['action']> | 'overwrite', string>> = {
  overwrite: 'is large enough, and not in use',
  enlarge: 'can be enlarged, and is not in use',
  create: 'can be created',
  remove: 'can be removed',
  keep: 'stays',
};

/** Before anything is written. */
async function checkDefinition(
  options: DefineOptions,
  { instance, disks, signal, reporter }: Session,
  found: StoredExport,
): Promise<Definition> {
  const native: NativeFile[] = [];
  for (const { name } of found.native) native.push(await found.nativeFile(name, { signal }));
  const definition = new Definition(options, { instance, native });
  await definition.check(signal);
  warnOfOtherDisks(instance, disks, { how: 'imported', reporter });
  return definition;
}

/** All disks are complete. @throws GantryError `DEFINE_FAILED`; the reason of the signal */
async function makeKnown(
  definition: Definition,
  session: Session,
  { request, found }: Pick<DumpImport, 'request' | 'found'>,
): Promise<DefinedInstance> {
  let failed = 'defined';
  try {
    await definition.define(session);
    failed = 'started';
    if (definition.start) await definition.startGuest(session);
    await definition.settle(session.run);
    return definition.outcome(definition.start);
  } catch (error) {
    const what = `the disks of ${session.instance.name} are complete, but it was not ${failed} in ${definition.source}`;
    if (session.signal.aborted) session.reporter.warn(what);
    session.signal.throwIfAborted();
    const { details = [], hint } = error instanceof GantryError ? error : {};
    const show = `gantry show ${quoteWord(request.store.address)} ${quoteWord(found.reference)} --native NAME`;
    const shown =
      found.native.length === 0 ? '' : ` ${show} prints its native description (${found.native.map(({ name }) => name).join(', ')}).`;
    throw new GantryError('DEFINE_FAILED', {
      message: `${what}: ${errorText(error)}`,
      details,
      hint: `${hint === undefined ? '' : `${hint} `}It needs no second import: see to it there with its own tools.${failed === 'started' ? '' : shown}`,
      cause: error,
    });
  }
}

/** @returns plain bytes of all disks */
async function writeDisks(work: DumpImport, dumps: readonly StoredDump[]): Promise<number> {
  const { request, states, session } = work;
  const { reporter, signal } = session;
  for (const { index, record } of dumps) {
    states.set(index, 'untouched');
    reporter.disk(index, 'waiting', record?.plainBytes);
  }
  try {
    const bytes = await sideBySide(dumps, request.parallel ?? DEFAULT_PARALLEL_DISKS, signal, (dump, signal) =>
      reportPhases(reporter, dump.index, () => inDump(dump.name, dump.index, importDump(work, dump, signal))),
    );
    return sum(bytes);
  } catch (error) {
    for (const [disk, state] of states) reporter.warn(work.missing.has(disk) ? 'it was new, and is removed' : state, disk);
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

async function importDump(work: DumpImport, dump: StoredDump, signal: AbortSignal): Promise<number> {
  const { session, found, incoming, states } = work;
  const { index } = dump;
  const plainBytes = await writeDump(work, dump, signal);
  states.set(index, 'complete');
  if (found.origin === 'ganeti') warnOfCutDump(incoming.get(index), plainBytes, session.reporter);
  return plainBytes;
}

async function writeDump(work: DumpImport, dump: StoredDump, signal: AbortSignal): Promise<number> {
  const { session, request, found, incoming, budget, states, resumed, newDisks } = work;
  const { index, record } = dump;
  const how = {
    forceInUse: request.forceInUse === true,
    checkFirst: (piece: PlainPiece | undefined) => checkIncoming(incoming.get(index), piece, found.origin, session.reporter),
    onTouch: () => {
      states.set(index, 'written in part: import it again before it is used');
      newDisks.touched(index);
    },
  };
  if (request.resume === true && session.os.definition.builtin) {
    // What an earlier attempt left is not untouched, although this one has not written yet.
    how.onTouch();
    const mended = await resumeDisk(session, { found, dump, budget, signal, ...how });
    resumed.push({ disk: index, ...mended });
    return mended.comparedBytes;
  }
  const { plainBytes } = await receiveDisk(session, {
    disk: index,
    signal,
    expectedBytes: record?.plainBytes,
    pieces: (onProgress) => readDump(found, dump, { budget, signal, warn: session.reporter.warn, onProgress }),
    ...how,
  });
  return plainBytes;
}
