import type { Store } from '@gantry/transport';
import { exportedInstance } from '../exports/exported-instance.ts';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import { assertOpened } from '../exports/unsealing.ts';
import type { Signers } from '../exports/signature.ts';
import { checkFirstPiece } from '../flow/check-data.ts';
import { findOriginals } from '../flow/select-dumps.ts';
import { openCallRun, startCall } from '../flow/session.ts';
import type { FilledDisk } from '../flow/source-in.ts';
import { fillNewInstance } from '../flow/source-in.ts';
import { transfersOf } from '../flow/transfers-of.ts';
import { checkSigned, isCheckedFirst, readAsSigned } from '../flow/signed-import.ts';
import { verifyDumps } from '../flow/verify-dumps.ts';
import { readDump } from '../exports/read-dump.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { InstanceSource } from '../instances/inventory.ts';
import type { Instance } from '../instances/model.ts';
import type { WritePlan } from '../report/events.ts';
import { withFirstError } from '../report/first-error.ts';
import type { OperationOptions } from '../report/reporter.ts';
import type { ImportResult } from './import.ts';

export interface ImportIntoSourceRequest extends OperationOptions, Signers {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** Where the instance is made. The caller disposes it. */
  readonly source: InstanceSource;
  /** Of the new instance. */
  readonly name: string;
  /** In the place of what the export says. */
  readonly os?: string | undefined;
  readonly diskTemplate?: string | undefined;
  /** Primary node, then secondary; absent: the source chooses. */
  readonly nodes?: readonly string[] | undefined;
  readonly parallel?: number | undefined;
  /** Reads and checks every dump before the instance is made. */
  readonly checkFirst?: boolean | undefined;
  /** Only shows the plan. */
  readonly dryRun?: boolean | undefined;
}

/**
 * Makes a new instance from an export, through the place where instances are described: its source makes the disks, on one of its hosts,
 * and Gantry sends the data. No byte of a frame is passed on before it was checked. When this rejects, nothing of the instance is left,
 * or a warning says what is.
 *
 * @throws GantryError, or the reason of the signal
 */
export function importIntoSource(request: ImportIntoSourceRequest): Promise<ImportResult> {
  return withFirstError(() => runImport(request));
}

async function runImport(request: ImportIntoSourceRequest): Promise<ImportResult> {
  const { source, name } = request;
  const call = startCall('import', request);
  const { signal, reporter } = call;
  const transfers = transfersOf(source);
  const opened = await openExport(request.store, request.export, { signal });
  await checkSigned(request, opened, { reporter, signal });
  assertOpened(request.store, opened);
  const found = readAsSigned(request, opened);
  for (const warning of found.warnings) reporter.warn(warning);
  if (found.origin === 'ganeti') reporter.warn(`${found.reference} was made by Ganeti: it has no checksums, so damage may go unnoticed`);
  const sizes = new Map((await findOriginals(found, found.dumps, signal)).map(({ index, plainBytes }) => [index, plainBytes]));
  const original = exportedInstance(found, sizes);
  const instance = withOverrides(original, request);
  const plan = planOf(found, instance, sizes, source.address);
  reporter.emit({ type: 'plan', operation: 'import', ...plan });
  const disks = found.dumps.map(({ index }) => index);
  const result = { reference: found.reference, instance: name, disks, plan, warnings: reporter.warnings };
  if (request.dryRun === true) {
    const says = `${found.reference} is complete, and its dumps are there with their sizes`;
    return { ...result, plainBytes: 0, dryRun: true, checks: [{ check: 'export', says }] };
  }
  await using scope = await openCallRun(call, name);
  if (request.checkFirst === true || isCheckedFirst(request, found)) {
    reporter.stage(`checking ${found.reference} before ${name} is made`);
    await verifyDumps(found, found.dumps, { reporter, signal, parallel: request.parallel });
  }
  reporter.stage(`importing ${found.reference} into ${name}, a new instance of ${source.address}`);
  const { run } = scope;
  const { nodes = [], parallel } = request;
  const made = { instance, originalName: original.name, nodes, token: run.id };
  const plainBytes = await fillNewInstance(transfers, made, disksOf(found, sizes), {
    ...call,
    run,
    source: source.address,
    parallel,
  });
  return { ...result, plainBytes, dryRun: false };
}

function withOverrides(original: Instance, { name, os, diskTemplate }: ImportIntoSourceRequest): Instance {
  return {
    ...original,
    name,
    ...(os === undefined ? {} : { os }),
    ...(diskTemplate === undefined ? {} : { disk_template: diskTemplate }),
  };
}

/** Nothing is overwritten. */
function planOf(
  { reference, instance: exported }: StoredExport,
  { name, disks }: Instance,
  sizes: ReadonlyMap<number, number | undefined>,
  source: string,
): WritePlan {
  return {
    from: reference,
    exported,
    into: name,
    disks: disks.map(({ size }, disk) => {
      const bytes = sizes.get(disk);
      const target = {
        disk,
        target: `a new disk in ${source}`,
        holds: 'empty',
        action: 'create' as const,
        ...(size === undefined ? {} : { targetBytes: size * MIB }),
      };
      return bytes === undefined ? target : { ...target, incomingBytes: bytes };
    }),
  };
}

const MIB = 1024 * 1024;

function disksOf(found: StoredExport, sizes: ReadonlyMap<number, number | undefined>): readonly FilledDisk[] {
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  return found.dumps.map((dump: StoredDump) => ({
    index: dump.index,
    dump: dump.name,
    expectedBytes: sizes.get(dump.index),
    pieces: ({ signal, onProgress, reporter }) => {
      const data = {
        disk: dump.index,
        from: found.reference,
        isRaw: found.os === 'raw',
        plainBytes: sizes.get(dump.index),
        originalSize: dump.diskSize,
        targetBytes: undefined,
      };
      return checkFirstPiece(readDump(found, dump, { budget, signal, warn: reporter.warn, onProgress }), data, found.origin, reporter);
    },
  }));
}
