import type { CallOptions, Store } from '@gantry/transport';
import type { DumpRecord } from '../exports/manifest.ts';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import type { Signers } from '../exports/signature.ts';
import { readDump } from '../exports/read-dump.ts';
import { assertOpened } from '../exports/unsealing.ts';
import { checkSigned } from '../flow/signed-import.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { openDiskSource } from '../flow/disk-source.ts';
import { remembering } from '../flow/remembering.ts';
import { assertScratchDirectory, makeScratchDisks } from '../flow/scratch-disks.ts';
import type { Call } from '../flow/session.ts';
import { checkSessionParameters, inspectFor, openSession, startCall } from '../flow/session.ts';
import type { Session } from '../flow/session.ts';
import { isDamage } from '../flow/verify-stored.ts';
import type { StreamComparison } from '../frames/compare-streams.ts';
import { compareStreams } from '../frames/compare-streams.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { Disk, Instance } from '../instances/model.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { OperationOptions } from '../report/reporter.ts';
import { reportPhases } from '../report/reporter.ts';
import { openRun } from '../runs/journal.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { importInstance } from './import.ts';

const MIB = 1024 ** 2;
/** What a script may write beside the data of its dump: the structure of a file system. */
const SCRIPT_OVERHEAD = 1.25;
/** A dump that a script makes of what it imported may be shorter or longer than the one before: by less than this factor. */
const PLAUSIBLE_FACTOR = 2;

export interface RehearseRequest extends OperationOptions, Signers {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** Where the scratch disks are made. */
  readonly directory: string;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
  /** Remembers the result, in the store or in the state directory. */
  readonly remember?: boolean | undefined;
}

/** What a rehearsal has shown of one disk. */
export interface RehearsedDisk extends Pick<StreamComparison, 'expectedBytes'> {
  readonly disk: number;
  /** What exporting the scratch disk gave, plain bytes. */
  readonly exportedBytes: number;
  /**
   * `equal`: exporting the scratch disk gives the same bytes as the dump. `imported`: the import script took the dump, and the export
   * script made a dump of about the same size, whose bytes differ: scripts need not give the same bytes twice.
   */
  readonly proof: 'equal' | 'imported';
}

export interface RehearsalResult {
  readonly reference: string;
  readonly disks: readonly RehearsedDisk[];
  readonly plainBytes: number;
  readonly warnings: readonly string[];
}

/**
 * Restores an export as a test: imports it through the import scripts of its OS definition into scratch disks, which are removed at the
 * end, and exports these again. The instance is called `rehearsal.NAME`, so that nothing waits for a lock of the real one.
 *
 * @throws GantryError `REHEARSAL_FAILED` where what comes out differs from what went in, and what importing and exporting throw
 */
export function rehearseExport(request: RehearseRequest): Promise<RehearsalResult> {
  return withFirstError(() => runRehearsal(request));
}

async function runRehearsal(request: RehearseRequest): Promise<RehearsalResult> {
  const call = startCall('verify', request);
  const { signal, reporter } = call;
  await assertScratchDirectory(request.directory);
  const found = await openExport(request.store, request.export, { signal });
  await checkSigned(request, found, { reporter, signal });
  assertOpened(request.store, found);
  const remember = request.remember === true ? { stateDirectory: request.stateDirectory } : undefined;
  const options = { ...request, remember, depth: 'rehearsal' as const, isProblem: isRehearsalProblem };
  return await remembering(options, found, reporter, () => rehearse(request, call, found));
}

/** Whether an error says that an export could not be restored, rather than that this machine could not do it. */
export function isRehearsalProblem(error: unknown): error is GantryError {
  return isDamage(error) || (error instanceof GantryError && error.exitCode === SCRIPT_EXIT_CODE);
}

const SCRIPT_EXIT_CODE = 6;

async function rehearse(request: RehearseRequest, call: Call, found: StoredExport): Promise<RehearsalResult> {
  const exported = found.manifest?.instance;
  if (exported === undefined) {
    throw new GantryError('USAGE', {
      message: `${found.reference} was made by Ganeti: it does not say enough of its instance for a rehearsal`,
      hint: 'Import it with gantry import --to INSTANCE-FILE.',
    });
  }
  const isRaw = (await chooseOs(exported, 'import', request)).definition.builtin;
  const stateDirectory = await openStateDirectory(request.stateDirectory);
  const name = `rehearsal.${exported.name}`;
  await using run = await openRun({ stateDirectory, operation: 'verify', instance: name });
  const sizes = exported.disks.map((disk, index) => sizeOfDisk(disk, dumpOf(found, index), isRaw));
  const plain = found.dumps.reduce((total, { record }) => total + (record?.plainBytes ?? 0), 0);
  const neededBytes = isRaw ? await dataBytes(found, { signal: call.signal }) : Math.ceil(plain * SCRIPT_OVERHEAD);
  await using scratch = await makeScratchDisks({ directory: request.directory, sizes, neededBytes, run });
  call.reporter.stage(`importing ${found.reference} into scratch disks in ${request.directory}`);
  const instance = onScratch({ ...exported, name }, scratch.paths);
  const disks = found.dumps.map(({ index }) => index);
  const { remember: _remember, directory: _directory, ...options } = request;
  await importInstance({ ...options, instance, export: found.reference, opened: found, disks, yes: true });
  call.reporter.stage(`exporting them again, and comparing that with ${found.reference}`);
  const rehearsed = await exportAgain(call, found, instance);
  return { reference: found.reference, disks: rehearsed, plainBytes: plain, warnings: call.reporter.warnings };
}

/**
 * Bytes of the frames of all disks that are not zeros: what `raw` writes to sparse files.
 *
 * @throws GantryError `MAP_DAMAGED` for a disk that is read by its frame map; `STORE_*`
 */
export async function dataBytes(found: StoredExport, options: CallOptions): Promise<number> {
  let total = 0;
  for (const { index, record } of found.dumps) if (record !== undefined) total += await dataOfDisk(found, index, record, options);
  return total;
}

async function dataOfDisk(
  found: StoredExport,
  index: number,
  { plainBytes, frameSize }: DumpRecord,
  options: CallOptions,
): Promise<number> {
  let data = 0;
  const mapped = await found.mapped(index, options);
  if (mapped !== undefined) {
    for (const entry of mapped.map) if (entry.kind !== 'zeros') data += entry.plainBytes;
    return data;
  }
  // Importing needs no frame table.
  const table = await found.frameTable(index, options).catch((error: unknown) => {
    if (isDamage(error)) return undefined;
    throw error;
  });
  if (table === undefined) return plainBytes;
  for (const { isZeros } of table) if (!isZeros) data += frameSize;
  return Math.min(data, plainBytes);
}

function dumpOf({ dumps }: StoredExport, index: number): StoredDump | undefined {
  return dumps.find((dump) => dump.index === index);
}

/** A disk of `raw` has just the bytes of its dump; another one has the size that the exported one had. */
function sizeOfDisk({ size }: Disk, dump: StoredDump | undefined, isRaw: boolean): number {
  const plainBytes = dump?.record?.plainBytes ?? 0;
  if (isRaw && dump !== undefined) return plainBytes;
  return Math.max((dump?.diskSize ?? size ?? 0) * MIB, plainBytes, MIB);
}

/** The instance with other disks. What its own disks were is nothing to the scripts. */
function onScratch(instance: Instance, paths: readonly string[]): Instance {
  const disks = instance.disks.map(({ uri: _uri, size: _size, backend_type: _backend, ...disk }, index): Disk => {
    const path = paths[index];
    return { ...disk, ...(path === undefined ? {} : { path }), access: 'rw' };
  });
  return { ...instance, disks };
}

async function exportAgain(call: Call, found: StoredExport, instance: Instance): Promise<readonly RehearsedDisk[]> {
  const os = await chooseOs(instance, 'export', call.options);
  const disks = found.dumps.map(({ index }) => index);
  const inspected = await inspectFor(call, instance, { purpose: 'export', disks });
  await using session = await openSession(call, { os, inspected, disks, diskLock: 'shared' });
  await checkSessionParameters(session);
  const rehearsed: RehearsedDisk[] = [];
  for (const dump of found.dumps) {
    rehearsed.push(await reportPhases(call.reporter, dump.index, () => compareDisk(session, found, dump)));
  }
  return rehearsed;
}

async function compareDisk(session: Session, found: StoredExport, dump: StoredDump): Promise<RehearsedDisk> {
  const { os, instance, inspected, signal, reporter } = session;
  const { index: disk, record } = dump;
  const hooks = session.hooks('export', { disk, signal });
  const view = { path: instance.disks[disk]?.path ?? '' };
  await using source = openDiskSource(os, { ...hooks, instance, disk, view, diskBytes: inspected.diskBytes[disk] });
  const pieces = readDump(found, dump, {
    budget: new MemoryBudget(DEFAULT_BUDGET_BYTES),
    signal,
    onProgress: reporter.progressOf(disk, () => record?.plainBytes),
    warn: (message, index) => reporter.warn(message, index),
  });
  const { expectedBytes, readBytes, differsAt } = await compareStreams(pieces, source);
  const problem = os.definition.builtin ? rawProblem(differsAt) : scriptProblem(expectedBytes, readBytes);
  if (problem !== undefined) {
    throw new GantryError('REHEARSAL_FAILED', {
      message: `disk ${disk} of ${found.reference} does not come back from a scratch disk: ${problem}`,
      hint: 'Compare its OS definition with the one that made the export, and import it once by hand.',
      disk,
    });
  }
  return { disk, expectedBytes, exportedBytes: readBytes, proof: differsAt === undefined ? 'equal' : 'imported' };
}

function rawProblem(differsAt: number | undefined): string | undefined {
  return differsAt === undefined ? undefined : `byte ${differsAt} differs`;
}

function scriptProblem(expected: number, exported: number): string | undefined {
  if (exported * PLAUSIBLE_FACTOR >= expected && exported <= expected * PLAUSIBLE_FACTOR) return undefined;
  return `the export script made a dump of ${exported} bytes, and the dump in the store has ${expected}`;
}
