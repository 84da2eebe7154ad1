import { randomUUID } from 'node:crypto';
import type { CallOptions, Store } from '@gantry/transport';
import type { AssembledBytes } from '../exports/assemble-dump.ts';
import { DumpAssembly } from '../exports/assemble-dump.ts';
import { formatExportReference } from '../exports/export-id.ts';
import { packsOfOthers } from '../exports/export-objects.ts';
import { dumpFileName, nativeObjectName } from '../exports/layout.ts';
import type { DumpRecord, Manifest } from '../exports/manifest.ts';
import { isReadByMaps } from '../exports/manifest.ts';
import type { StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import { removeExport } from '../exports/remove-export.ts';
import type { Sealing } from '../exports/sealing.ts';
import type { SignManifest, Signers } from '../exports/signature.ts';
import { allowedSigner, assertCanSign, assertSigners, checkSignature, isRefusal, readSignature, sshSigner } from '../exports/signature.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import type { StoreExportWriter } from '../exports/store-sink.ts';
import { storeSink } from '../exports/store-sink.ts';
import { opensSealed } from '../exports/unsealing.ts';
import { prepareStore } from '../flow/prepare-store.ts';
import type { RecipientsAnew } from '../flow/seal-anew.ts';
import { assertMayBeOpen, sealAnew, writeSealed } from '../flow/seal-anew.ts';
import type { Call } from '../flow/session.ts';
import { startCall } from '../flow/session.ts';
import { inDump } from '../frames/damage.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { quoteWord } from '../report/quote-word.ts';
import type { OperationOptions } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import { TOOL } from '../report/version.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { sum } from '../system/sum.ts';

export interface ConsolidateRequest extends Pick<OperationOptions, 'signal' | 'onEvent'>, Signers, RecipientsAnew {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** Signs the new export with an SSH key, if the old one is signed by one of `allowedSigners`: see `sshSigner`. */
  readonly signKey?: string | undefined;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
}

export interface ConsolidateResult extends AssembledBytes {
  /** The export that was to be consolidated. */
  readonly from: string;
  /** The plain full export with the same disks; `from` itself if that is one. */
  readonly reference: string;
  readonly consolidated: boolean;
  /** Whether `from` was removed. */
  readonly removed: boolean;
  /** Bytes of packs of `from` that were kept, because other exports refer to them, or may. */
  readonly keptBytes: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly warnings: readonly string[];
}

/**
 * Makes a plain full export of one that needs packs of others: the same disks, each in one dump that is complete by itself. It gets an id
 * of its own for the same start time; the old export is removed when the new one is complete, and every byte of it was read back and
 * checked. If this is interrupted, the old export is still there, or both are. A signed export is signed anew, or not consolidated. With
 * `allowedSigners`, one that is not signed is refused. A sealed one is decrypted by an identity (`withUnsealer`), and encrypted anew.
 *
 * @throws GantryError `USAGE`, `IDENTITY_*`, `RECIPIENT_INVALID`, `SIGNATURE_*`, `SIGNING_FAILED`, `EXPORT_*`, `MAP_DAMAGED`, `PACK_MISSING`, `DUMP_*`, `STORE_*`; the reason of the signal
 */
export function consolidateExport(request: ConsolidateRequest): Promise<ConsolidateResult> {
  return withStoreErrors(request.store.address, () => runConsolidate(request));
}

async function runConsolidate(request: ConsolidateRequest): Promise<ConsolidateResult> {
  const { store } = request;
  const call = startCall('consolidate', request);
  const { signal, reporter } = call;
  await assertSigners(request);
  const found = await openExport(store, request.export, { signal });
  for (const warning of found.warnings) reporter.warn(warning);
  const { manifest, reference } = found;
  assertMayBeOpen(request, { reference, sealed: manifest?.sealed });
  if (manifest === undefined || isPlain(manifest)) return nothingToDo(found, reporter.warnings);
  assertReadable(store, found);
  const sign = await signatureFor(request, found, call);
  const sealing = await sealAnew(request, { reference, manifest, isSigned: sign !== undefined }, call);
  await prepareStore(store, { ...call, instance: manifest.instance, keep: 'later' });
  const sink = storeSink(store, { warn: (message) => reporter.warn(message), sign, sealing });
  await using writer = await sink.open(headerOf(manifest), { signal });
  // The claim holds its packs from here on, but only if nobody removed the export before.
  const held = await openExport(store, reference, { signal });
  // What says how the new export is signed and encrypted must be what is read: a store could have sealed files of others decrypted.
  if (held.manifestText !== found.manifestText) throw changedMeanwhile(reference);
  await held.checkDumpsPresent({ signal });
  reporter.stage(`putting ${reference} together as ${writer.reference}`);
  const done = await assembleDumps({ ...call, request, writer, found: held, manifest, sealing });
  for (const { name } of held.native) await writer.native(await held.nativeFile(name, { signal }), { signal });
  const { version: _version, frameTables: _tables, native: _native, sinceFull: _sinceFull, sealed: _sealed, ...draft } = manifest;
  const consolidated = new Date().toISOString();
  await writer.commit({ ...draft, consolidated, exportId: writer.id, dumps: done.map(({ record }) => record) }, { signal });
  if (sign !== undefined) await assertReplaces(request, { from: reference, to: writer.reference }, { signal });
  const removed = await removeOld(call, store, { from: reference, to: writer.reference });
  return {
    from: reference,
    reference: writer.reference,
    consolidated: true,
    ...removed,
    plainBytes: sum(done.map(({ record }) => record.plainBytes)),
    storedBytes: sum(done.map(({ record }) => record.storedBytes)),
    copiedBytes: sum(done.map(({ copiedBytes }) => copiedBytes)),
    passedBytes: sum(done.map(({ passedBytes }) => passedBytes)),
    warnings: reporter.warnings,
  };
}

/** Whether every dump is complete by itself, and has the name of such a dump. */
function isPlain(manifest: Manifest): boolean {
  if (!isReadByMaps(manifest)) return true;
  return (
    packsOfOthers(manifest).length === 0 && manifest.dumps.every(({ name, index, codec }) => name === dumpFileName(index, codec, manifest))
  );
}

/** @throws GantryError `IDENTITY_NEEDED`, `IDENTITY_MISMATCH` for a sealed export that nothing opens */
function assertReadable(store: Store, found: StoredExport): void {
  const { reference, manifest, mismatch } = found;
  if (mismatch !== undefined) throw mismatch;
  if (manifest?.sealed === undefined || opensSealed(store)) return;
  throw new GantryError('IDENTITY_NEEDED', {
    message: `cannot consolidate ${reference}: it is sealed, and its frames have to be encrypted anew`,
    hint: 'Give the identity of one of its recipients (--identity FILE), or make a full export in its place: gantry export without --incremental.',
  });
}

/**
 * What signs the new export: just where the old one is signed by somebody who may, since everything in the new one comes from there.
 *
 * @throws GantryError `USAGE` for a signed export that would lose its signature; `SIGNATURE_INVALID`, `SIGNING_FAILED`
 */
async function signatureFor(
  { store, signKey, allowedSigners }: ConsolidateRequest,
  found: StoredExport,
  { signal, reporter }: Call,
): Promise<SignManifest | undefined> {
  if ((await readSignature(store, found, { signal })) === undefined) {
    if (allowedSigners !== undefined) throw isUnsigned(found.reference);
    if (signKey !== undefined) reporter.warn(`${found.reference} is not signed, so ${signKey} signs nothing: anybody may have made it`);
    return undefined;
  }
  if (signKey === undefined || allowedSigners === undefined) {
    const missing = [...(signKey === undefined ? ['--sign KEY'] : []), ...(allowedSigners === undefined ? ['--allowed-signers FILE'] : [])];
    throw new GantryError('USAGE', {
      message: `cannot consolidate ${found.reference}: it is signed, and its signature does not fit the new export`,
      hint: `Have the new one signed, after the old signature was checked: ${missing.join(' ')}. Or make a full export: gantry export.`,
    });
  }
  await checkSignature(store, found, { allowedSigners, requireSignature: true, signal });
  const sign = allowedSigner(sshSigner(signKey), { key: signKey, allowedSigners });
  await assertCanSign(sign, { signal });
  return sign;
}

/** It may have lost its signature, or the store hides it: the signed export would be replaced by one that nobody accepts. */
function isUnsigned(reference: string): GantryError {
  return new GantryError('SIGNATURE_MISSING', {
    message: `cannot consolidate ${reference}: it is not signed, and there are allowed signers`,
    hint: 'Make a full export in its place: gantry export. Without allowed signers, it is consolidated, and not signed.',
  });
}

/** The new export is complete. The old one stays, unless the new one is as good for those who check signatures. @throws GantryError `SIGNATURE_*` */
async function assertReplaces(
  { store, allowedSigners }: ConsolidateRequest,
  { from, to }: { readonly from: string; readonly to: string },
  options: CallOptions,
): Promise<void> {
  try {
    await checkSignature(store, await openExport(store, to, options), { allowedSigners, requireSignature: true, ...options });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw new GantryError(error.code, {
      message: `${to} is complete, and ${from} stays, because ${error.message}`,
      hint: `Remove the new one, and consolidate again: gantry remove ${quoteWord(store.address)} ${quoteWord(to)}`,
      cause: error,
    });
  }
}

function changedMeanwhile(reference: string): GantryError {
  return new GantryError('BUSY', {
    message: `cannot consolidate ${reference}: its manifest has changed since it was looked at`,
    hint: 'Consolidate it again.',
  });
}

function nothingToDo({ reference, manifest }: StoredExport, warnings: readonly string[]): ConsolidateResult {
  const dumps = manifest?.dumps ?? [];
  return {
    from: reference,
    reference,
    consolidated: false,
    removed: false,
    keptBytes: 0,
    plainBytes: sum(dumps.map(({ plainBytes }) => plainBytes)),
    storedBytes: sum(dumps.map(({ storedBytes }) => storedBytes)),
    copiedBytes: 0,
    passedBytes: 0,
    warnings,
  };
}

function headerOf(manifest: Manifest): Parameters<ReturnType<typeof storeSink>['open']>[0] {
  const { instance, exportId, started, dumps, native = [] } = manifest;
  const names = [
    ...dumps.map(({ index, codec }) => dumpFileName(index, codec, manifest)),
    ...native.map(({ name }) => nativeObjectName(name, manifest)),
  ];
  const parents = packsOfOthers(manifest).map((pack) => formatExportReference(pack.instance, pack.exportId));
  return {
    instance: instance.name,
    started: new Date(started).toISOString(),
    runId: randomUUID(),
    tool: TOOL,
    dumps: names,
    parents: [...new Set([formatExportReference(instance.name, exportId), ...parents])],
  };
}

interface Assembling extends Call {
  readonly request: ConsolidateRequest;
  readonly writer: StoreExportWriter;
  readonly found: StoredExport;
  readonly manifest: Manifest;
  /** How the new export is encrypted, if the old one is. */
  readonly sealing: Sealing | undefined;
}

interface AssembledRecord extends AssembledBytes {
  readonly record: DumpRecord;
}

async function assembleDumps(work: Assembling): Promise<readonly AssembledRecord[]> {
  const { request, found, reporter, signal } = work;
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  const records = found.dumps.flatMap(({ record }) => record ?? []);
  for (const { index, plainBytes } of records) reporter.disk(index, 'waiting', plainBytes);
  return await sideBySide(records, request.parallel ?? DEFAULT_PARALLEL_DISKS, signal, (record, signal) =>
    reportPhases(reporter, record.index, () => inDump(record.name, record.index, assembleDump({ ...work, signal }, record, budget))),
  );
}

async function assembleDump(
  { request, writer, found, manifest, sealing, reporter, signal }: Assembling,
  record: DumpRecord,
  budget: MemoryBudget,
): Promise<AssembledRecord> {
  const { store } = request;
  const { index, codec, map: mapRecord } = record;
  const map = await found.frameMap(index, { signal });
  if (map === undefined || mapRecord === undefined) throw new TypeError(`disk ${index} has no frame map`);
  const name = dumpFileName(index, codec, manifest);
  const report = reporter.progressOf(index, () => record.plainBytes);
  const { packs, cut } = mapRecord;
  const instance = manifest.instance.name;
  const assembly = new DumpAssembly({
    store,
    disk: { instance, exportId: manifest.exportId, disk: index, packs, isSealed: sealing !== undefined },
    record,
    map,
    exportId: writer.id,
    name,
    budget,
    onProgress: report,
  });
  // As much as all its packs together at most, or what the disk has.
  const assembledBytes = Math.min(record.plainBytes, sum(packs.map(({ size }) => size)) + record.storedBytes);
  const options = { map: { disk: index, cut, packs: [] }, signal };
  await using dump = await writer.dump(name, sealing === undefined ? { ...options, assembledBytes } : options);
  const written =
    sealing === undefined
      ? await dump.assemble(assembly, { signal })
      : await writeSealed({ store, dump, sealing, assembly, place: { instance, exportId: writer.id, disk: index, name } }, { signal });
  report(written.plainBytes, written.storedBytes, true);
  return { record: { ...record, ...written, name }, ...assembly.bytes };
}

/** The new export is complete: what fails now leaves both. */
async function removeOld(
  { signal, reporter }: Call,
  store: Store,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<Pick<ConsolidateResult, 'removed' | 'keptBytes'>> {
  try {
    const { keptBytes, unclear } = await removeExport(store, from, { signal });
    for (const why of unclear) reporter.warn(`packs of ${from} were kept: ${why}`);
    return { removed: true, keptBytes };
  } catch (error) {
    // Somebody else removed it meanwhile.
    if (error instanceof GantryError && error.code === 'EXPORT_NOT_FOUND') return { removed: true, keptBytes: 0 };
    const remove = `gantry remove ${quoteWord(store.address)} ${quoteWord(from)}`;
    reporter.warn(`${to} is complete, but ${from} could not be removed: ${errorText(error)}. Remove it yourself: ${remove}`);
    signal.throwIfAborted();
    return { removed: false, keptBytes: 0 };
  }
}
