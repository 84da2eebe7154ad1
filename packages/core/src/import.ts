import type { Store } from '@gantry/transport';
import type { StoredDump, StoredExport } from './archive/open-export.ts';
import { openExport } from './archive/open-export.ts';
import { beginRun } from './begin-run.ts';
import { chooseOs } from './choose-os.ts';
import { writeDisk } from './disk-target.ts';
import { decodeDump } from './dump/decode-dump.ts';
import { DEFAULT_BUDGET_BYTES } from './dump/encode-dump.ts';
import { MemoryBudget } from './dump/memory-budget.ts';
import { GantryError } from './errors.ts';
import type { InspectedDisks } from './instance/inspect-disks.ts';
import { inspectDisks } from './instance/inspect-disks.ts';
import type { Instance } from './instance/model.ts';
import type { OperationOptions, Reporter } from './operation.ts';
import { DEFAULT_PARALLEL_DISKS, createReporter, tellPhases } from './operation.ts';
import { parseOsName } from './os/os-name.ts';
import { checkParameters } from './os/parameters.ts';
import type { SelectedOs } from './os/select.ts';
import { scriptHooks } from './script-hooks.ts';
import { sideBySide } from './side-by-side.ts';
import type { Run } from './state/journal.ts';
import { verifyDumps } from './verify.ts';

const MIB = 1024 * 1024;

export interface ImportRequest extends OperationOptions {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** The instance whose disks are written. */
  readonly instance: Instance;
  /** These disks alone, by index. */
  readonly disks?: readonly number[] | undefined;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
  /** Reads and checks every dump once before the first byte is written. */
  readonly checkFirst?: boolean | undefined;
  /** Hands dumps to another OS definition than the one that made them. */
  readonly allowOtherOs?: boolean | undefined;
}

export interface ImportResult {
  /** `INSTANCE@EXPORT-ID` of what was imported. */
  readonly reference: string;
  readonly instance: string;
  /** Indexes of the disks that were written. */
  readonly disks: readonly number[];
  readonly plainBytes: number;
  readonly warnings: readonly string[];
}

/** What became of a disk, should the import fail. */
type DiskState = 'untouched' | 'written in part: import it again before it is used' | 'complete';

/** What all disks of one import share. */
interface Work {
  readonly request: ImportRequest;
  readonly found: StoredExport;
  readonly os: SelectedOs;
  readonly instance: Instance;
  readonly run: Run;
  readonly reporter: Reporter;
  readonly budget: MemoryBudget;
  readonly states: Map<number, DiskState>;
}

/**
 * Imports an export into the disks of an instance. No byte of a frame is handed on before it was checked. When this rejects after
 * the first disk was touched, warnings have told the state of each disk.
 *
 * @throws GantryError, or the reason of the signal
 */
export async function importInstance(request: ImportRequest): Promise<ImportResult> {
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('import', request.onEvent);

  const os = await chooseOs(request.instance, 'import', request);
  const found = await openExport(request.store, request.export, { signal });
  if (found.origin === 'ganeti')
    reporter.warn(`${found.reference} was made by Ganeti: it carries no checksums, so damage may go unnoticed`);
  assertSameOs(os, found, request.allowOtherOs === true);
  const dumps = selectDumps(found, request);
  const disks = dumps.map(({ index }) => index);
  const inspected = await inspectDisks(request.instance, { purpose: 'import', disks, signal });
  for (const { message, disk } of inspected.warnings) reporter.warn(message, disk);
  await assertRoom(os, found, dumps, inspected, reporter, signal);

  const { instance } = inspected;
  await using run = await beginRun({ instance, disks, diskLock: 'exclusive', stateDirectory: request.stateDirectory, reporter, signal });
  await checkParameters(os, instance, scriptHooks('verify', { run, reporter, signal, debug: request.debug }));
  if (request.checkFirst === true) {
    reporter.stage(`checking ${found.reference} before anything is written`);
    await verifyDumps(found, dumps, { reporter, signal, parallel: request.parallel });
  }
  reporter.stage(`importing ${found.reference} into ${instance.name}`);
  const work: Work = { request, found, os, instance, run, reporter, budget: new MemoryBudget(DEFAULT_BUDGET_BYTES), states: new Map() };
  const plainBytes = await writeDisks(work, dumps, signal);
  return { reference: found.reference, instance: instance.name, disks, plainBytes, warnings: reporter.warnings };
}

/** What a script wrote is for its own definition to read. */
function assertSameOs({ definition }: SelectedOs, found: StoredExport, allowed: boolean): void {
  const exported = parseOsName(found.os).name;
  if (allowed || exported === definition.name) return;
  throw new GantryError('OS_MISMATCH', {
    message: `${found.reference} was made by the OS definition ${exported}, and the instance file says ${definition.name}`,
    hint: `Set os to ${found.os} in the instance file; or, where ${definition.name} can read what ${exported} wrote, add --allow-other-os.`,
  });
}

/** @throws GantryError `DISK_TOO_FEW`, `DUMP_MISSING` */
function selectDumps(found: StoredExport, { instance, disks }: ImportRequest): readonly StoredDump[] {
  const missing = disks?.find((index) => !found.dumps.some((dump) => dump.index === index));
  if (missing !== undefined) {
    throw new GantryError('DUMP_MISSING', {
      message: `${found.reference} has no dump of disk ${missing}`,
      hint: `It has dumps of the disks ${found.dumps.map(({ index }) => index).join(', ')}.`,
      disk: missing,
    });
  }
  const needed = Math.max(-1, ...found.dumps.map(({ index }) => index)) + 1;
  if (disks === undefined && needed > instance.disks.length) {
    throw new GantryError('DISK_TOO_FEW', {
      message: `${found.reference} has ${needed} disks, and ${instance.name} has ${instance.disks.length}`,
      hint: 'Add disks to the instance file, or name with --disk those that are to be imported.',
    });
  }
  return disks === undefined ? found.dumps : found.dumps.filter(({ index }) => disks.includes(index));
}

/** Everything that can be known to fail is found out before the first byte is written. */
async function assertRoom(
  os: SelectedOs,
  found: StoredExport,
  dumps: readonly StoredDump[],
  { diskBytes, instance }: InspectedDisks,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<void> {
  const sizes = await found.checkDumpsPresent({ disks: dumps.map(({ index }) => index), signal });
  for (const [place, dump] of dumps.entries()) {
    const room = diskBytes[dump.index];
    const original = dump.record?.plainBytes ?? (dump.codec === 'none' ? sizes[place]?.size : undefined);
    const path = instance.disks[dump.index]?.path;
    if (room === undefined) continue;
    if (os.definition.builtin && original !== undefined && room < original) {
      throw new GantryError('DISK_TOO_SMALL', {
        message: `disk ${dump.index} (${path}) has ${room} bytes, and the disk in ${found.reference} had ${original}`,
        hint: 'Make it at least as large.',
        disk: dump.index,
      });
    }
    if (!os.definition.builtin && dump.diskSize !== undefined && room < dump.diskSize * MIB) {
      reporter.warn(
        `it is smaller than the disk that was exported, which had ${dump.diskSize} MiB: the import script may run out of space`,
        dump.index,
      );
    }
  }
}

/** @returns plain bytes of all disks */
async function writeDisks(work: Work, dumps: readonly StoredDump[], signal: AbortSignal): Promise<number> {
  const { request, reporter, states } = work;
  for (const { index } of dumps) {
    states.set(index, 'untouched');
    reporter.disk(index, 'waiting');
  }
  try {
    const bytes = await sideBySide(dumps, request.parallel ?? DEFAULT_PARALLEL_DISKS, signal, (dump, signal) =>
      tellPhases(reporter, dump.index, () => importDump(work, dump, signal)),
    );
    return bytes.reduce((total, number) => total + number, 0);
  } catch (error) {
    for (const [disk, state] of states) reporter.warn(state, disk);
    throw error;
  }
}

async function importDump(work: Work, dump: StoredDump, signal: AbortSignal): Promise<number> {
  const { found, os, instance, run, reporter, request, budget, states } = work;
  const { index, codec, record } = dump;
  await using stored = await found.dump(dump.name, { signal });
  let total = 0;
  const tell = reporter.progressOf(index, () => record?.plainBytes);
  const pieces = decodeDump(stored, {
    codec,
    framed: record,
    budget,
    signal,
    onProgress: (plainBytes, storedBytes) => {
      total = plainBytes;
      tell(plainBytes, storedBytes);
    },
  });
  const hooks = scriptHooks('import', { run, reporter, signal, debug: request.debug, disk: index });
  await writeDisk(os, { ...hooks, instance, disk: index, pieces }, () =>
    states.set(index, 'written in part: import it again before it is used'),
  );
  states.set(index, 'complete');
  tell(total, stored.length, true);
  return total;
}
