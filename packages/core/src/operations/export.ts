import type { Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import type { FrameCut } from '../exports/frame-cuts.ts';
import { CUT_OFF_FILE, nativeObjectName } from '../exports/layout.ts';
import type { Labels } from '../exports/labels.ts';
import { checkLabels } from '../exports/labels.ts';
import type { DumpRecord, Manifest } from '../exports/manifest.ts';
import { describeInstance } from '../exports/manifest.ts';
import type { Signers } from '../exports/signature.ts';
import { assertCanSign, sshSigner } from '../exports/signature.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import type { ManifestDraft } from '../exports/store-sink.ts';
import { forgetCutOff } from '../exports/cut-off.ts';
import { assertSeparateStores } from '../exports/separate-stores.ts';
import { storeId } from '../exports/store-marker.ts';
import { chooseOs } from '../flow/choose-os.ts';
import type { DumpForm } from '../flow/dump-forms.ts';
import { firstForm, fullForm } from '../flow/dump-forms.ts';
import type { ExportSealing } from '../flow/export-sealing.ts';
import { startSealing, withKeptTexts } from '../flow/export-sealing.ts';
import { warnOfImages } from '../flow/image-warning.ts';
import type { IncrementOptions, OpenedIncrement } from '../flow/open-increment.ts';
import { openIncrement } from '../flow/open-increment.ts';
import type { ChangesOptions, DumpedDisk, OutgoingOptions, OutgoingRequest, TakeDump } from '../flow/out.ts';
import { sendDisks } from '../flow/out.ts';
import { prepareStore } from '../flow/prepare-store.ts';
import { selectDisks } from '../flow/select-disks.ts';
import type { Call, Session } from '../flow/session.ts';
import { checkSessionParameters, inspectFor, openSession, startCall } from '../flow/session.ts';
import type { MadeExport, StoreOutcome } from '../flow/store-outcomes.ts';
import { copyToRest, madeIn } from '../flow/store-outcomes.ts';
import type { ExportTarget } from '../flow/tee.ts';
import { DEFAULT_STORE_BUFFER_BYTES, oneStore, Tee } from '../flow/tee.ts';
import { ChangeTracking, forgetAllMarks } from '../flow/track-changes.ts';
import { chooseLevel } from '../frames/codecs/levels.ts';
import type { Codec } from '../frames/codecs/registry.ts';
import { DEFAULT_CODEC } from '../frames/codecs/registry.ts';
import type { FrameCounts } from '../frames/frame-counts.ts';
import { addCounts, countFrames } from '../frames/frame-counts.ts';
import type { NativeFile } from '../instances/inventory.ts';
import type { Instance } from '../instances/model.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { Reporter } from '../report/reporter.ts';
import { TOOL } from '../report/version.ts';
import { abortLater } from '../system/abort-later.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { createProviders } from '../snapshots/registry.ts';
import { RAW_DEFINITION } from '../scripts/definition.ts';
import { sum } from '../system/sum.ts';

export interface ExportRequest extends OutgoingRequest {
  /** Where the export goes. The caller disposes it. */
  readonly store: Store;
  /**
   * Other stores that get the same export, under the same id, from the same reading of the disks. One that fails, or cannot keep up, gets a
   * copy afterwards: see {@link ExportResult.stores}. The caller disposes them.
   */
  readonly alsoInto?: readonly Store[] | undefined;
  /** Called when the export is given up in one of several stores: also where it fails in all, so that there is no result. */
  readonly onGivenUp?: ((store: Store, failure: GantryError) => void) | undefined;
  /** With `alsoInto`: whose signatures are good in each store. A copy that one of them would refuse is not made there. */
  readonly storeSigners?: ReadonlyMap<Store, Signers> | undefined;
  /** With `alsoInto`: how many stored bytes a store may fall behind the others, before the export is given up there; default 128 MiB. */
  readonly storeBufferBytes?: number | undefined;
  /** Default `zstd`. */
  readonly codec?: Codec | undefined;
  /** Writes private OS parameters and secret native files into the export too; default: only if it is sealed. */
  readonly includePrivate?: boolean | undefined;
  /**
   * Stores only what earlier exports of the instance lack, and makes frame maps, so that later exports can do the same. An export is
   * complete and can be restored alone, although it refers to others.
   */
  readonly incremental?: boolean | undefined;
  /** With `incremental`: `INSTANCE@EXPORT-ID` of another instance with much of the same data, such as the template of a clone. */
  readonly base?: string | undefined;
  /**
   * With `incremental`, for the definition `raw`: leaves marks with the snapshots, and reads only what changed since those of the parent,
   * where their provider can say it; `where-possible`: for other definitions, full exports and several stores, reads all. Without it, an export of any kind removes the marks of earlier exports into this store.
   */
  readonly trackChanges?: boolean | 'where-possible' | undefined;
  /**
   * With `incremental`: stores a frame that changed a little as its difference from the earlier one, which is read back from the store for
   * that; default true.
   */
  readonly patches?: boolean | undefined;
  /** With `incremental`: makes a full export once the lineage has that many exports since the last full one, which counts. */
  readonly fullEvery?: number | undefined;
  /**
   * Those who can read the export: everything in it that need not be read by everybody is encrypted to them. This machine needs none of
   * their identities: for later incremental exports, it keeps frame maps in its state directory.
   */
  readonly recipients?: Recipients | undefined;
  /** Signs the export with an SSH key: see `sshSigner`. */
  readonly signKey?: string | undefined;
  /** What the user says of the export: see `gantry prune --keep-tag`. */
  readonly labels?: Labels | undefined;
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
  /** Of an incremental export. */
  readonly incremental?: IncrementResult;
  /** What became of it in each store, in their order; absent for one store alone. It is complete in one of them at least. */
  readonly stores?: readonly StoreOutcome[];
  readonly warnings: readonly string[];
}

/** For what is done although the operation was cancelled. */
const KEEP_MS = 20_000;

/** What an incremental export did not have to store, and what it did. */
export interface IncrementResult extends FrameCounts {
  /** `INSTANCE@EXPORT-ID` of the exports that it took as its parents; empty if it found none. */
  readonly parents: readonly string[];
}

/**
 * Exports the disks of an instance into a store. The export becomes visible there when all disks are complete, durable and have their
 * digests; when this rejects, nothing is left of it, but for packs of an incremental one that the next can take over.
 *
 * @throws GantryError, or the reason of the signal
 */
export function exportInstance(request: ExportRequest): Promise<ExportResult> {
  return withFirstError(async () => {
    const call = startCall('export', request);
    return await copyToRest(call, request, await runExport(call, request));
  });
}

async function runExport(call: Call, request: ExportRequest): Promise<MadeExport<ExportResult>> {
  const started = new Date();
  checkLabels(request.labels ?? {});
  const codec = request.codec ?? DEFAULT_CODEC;
  // A wrong level is refused before a guest is frozen.
  const level = chooseLevel(codec, request.level);
  const os = await chooseOs(request.instance, 'export', request);
  const isTracked = tracksChanges(request, os);
  const disks = selectDisks(request.instance, request.disks);
  const inspected = await inspectFor(call, request.instance, { purpose: 'export', disks });
  await using session = await openSession(call, { os, inspected, disks, diskLock: 'shared' });
  await checkSessionParameters(session);
  await warnOfImages(session);
  const send = (dump: SendOptions): Promise<readonly DumpedDisk[]> => sendDisks(session, { ...request, codec, level, ...dump });
  const { definition, variant } = os;
  const subject = { ...session, os: { name: definition.name, variant, apiVersion: definition.apiVersion } };
  const track: ExportParts['track'] = async (store, { parentDisks }) => {
    const { stateDirectory } = request;
    const tracking = {
      stateDirectory: await openStateDirectory(stateDirectory),
      store: (await storeId(store, session)) ?? store.address,
      providers: await createProviders(),
    };
    if (isTracked) return await ChangeTracking.open({ ...session, ...tracking, parentDisks });
    await forgetAllMarks({ ...session, ...tracking });
    return undefined;
  };
  return await exportInto(subject, { request, started, codec, send, track });
}

type SendOptions = Required<Pick<OutgoingOptions, 'take' | 'encode'>> & Pick<OutgoingOptions, 'changes'>;

/** What is exported, and the run that does it. */
interface ExportSubject extends Pick<Session, 'instance' | 'disks' | 'run' | 'reporter' | 'signal'> {
  /** Empty for a definition without variants. */
  readonly os: Manifest['os'];
}

export interface ExportParts {
  readonly request: Omit<ExportRequest, 'snapshot' | 'snapshotConfig' | 'snapshotSize' | 'guest'>;
  readonly started: Date;
  readonly codec: Codec;
  /** Sends all disks, each to `take`; resolves when nothing can be found wrong with them any more. */
  readonly send: (dump: SendOptions) => Promise<readonly DumpedDisk[]>;
  /** What is known of the changes since its parents, if that is asked for; else marks of earlier exports into the store are removed. */
  readonly track?: (store: Store, parents: Pick<OpenedIncrement, 'parentDisks'>) => Promise<ChangeTracking | undefined>;
}

/** Writes an export into its store, or into all of its stores. @throws GantryError; the reason of the signal */
export async function exportInto(subject: ExportSubject, parts: ExportParts): Promise<MadeExport<ExportResult>> {
  const { reporter, signal } = subject;
  const { store, alsoInto = [], onGivenUp, createStore, incremental: keepPacks, patches } = parts.request;
  const { recipients, stateDirectory, signKey, storeBufferBytes: bufferBytes = DEFAULT_STORE_BUFFER_BYTES } = parts.request;
  const stores = [store, ...alsoInto];
  const sign = signKey === undefined ? undefined : sshSigner(signKey);
  // Before a guest is frozen, and before anything is sent.
  if (sign !== undefined) await assertCanSign(sign, { signal });
  const leaveIfLost = recipients === undefined && patches !== false;
  const sealed =
    recipients && (await startSealing({ recipients, stores, stateDirectory, incremental: keepPacks === true }, reporter, { signal }));
  const sealing = sealed?.sealing;
  if (alsoInto.length === 0) {
    const target = oneStore(store, { warn: (message) => reporter.warn(message), createStore, keepPacks, leaveIfLost, sealing, sign });
    return { result: await withStoreErrors(store.address, () => writeExport(target, subject, { ...parts, sealed })) };
  }
  await assertSeparateStores(stores, { signal });
  const tee = new Tee(stores, { createStore, keepPacks, sealing, sign, bufferBytes, onGivenUp, reporter, signal });
  return madeIn(tee.branches, await writeExport(tee, subject, { ...parts, sealed }));
}

async function writeExport(
  target: ExportTarget,
  subject: ExportSubject,
  parts: ExportParts & { readonly sealed: ExportSealing | undefined },
): Promise<ExportResult> {
  const { request, started, codec, send, sealed } = parts;
  const sealing = sealed?.sealing;
  const { instance, disks, run, reporter, signal } = subject;
  const { base, patches = true, fullEvery, incremental: keepPacks } = request;
  // Who wants no earlier frames read, such as those of a bucket that is paid for each byte, wants that least of all.
  const keep = keepPacks === true ? { runId: run.id, readBack: patches && sealing === undefined } : undefined;
  await target.each((store) => prepareStore(store, { ...subject, keep }));
  const native = nativeToKeep(request, reporter);
  const names = native.map(({ name }) => nativeObjectName(name, { sealed: sealing }));
  const header = { instance: instance.name, started: started.toISOString(), runId: run.id, tool: TOOL, dumps: names };
  const wanted = { header, disks, codec, cut: cutOf(subject), base, patches, fullEvery, sealing, reporter, signal };
  const opened = await target.open((opening) => {
    const store = sealed === undefined ? opening.store : withKeptTexts(opening.store, sealed.kept);
    return open({ ...wanted, ...opening, store }, request);
  });
  await using writer = opened.writer;
  const { form, parents, cutOff } = opened;
  const [tracking] = await target.each(async (store) => await parts.track?.(store, opened));
  reporter.stage(`exporting ${writer.reference} to ${target.address}`);
  for (const file of native) await writer.native(file, { signal });
  const counts: FrameCounts[] = [];
  const take: TakeDump = async (disk, encoded, signal) => {
    await using dump = await writer.dump(form.nameOf(disk), { signal, map: form.mapOf(disk) });
    // What is stored when it is cut off is kept: that takes a moment.
    using later = abortLater(signal, keepPacks === true ? KEEP_MS : 0);
    const written = await dump.write(sealing?.sealDump(encoded) ?? encoded, later);
    const map = encoded.map();
    if (map !== undefined) counts.push(countFrames(map, form.mapOf(disk)?.packs.length));
    if (map !== undefined) await tracking?.wasRead(disk, map);
    return written;
  };
  const commit = async (sent: readonly DumpedDisk[]): Promise<readonly DumpRecord[]> => {
    const dumps = sent.map((each) => recordOf(each, instance, form));
    await writer.commit(composeManifest(subject, parts, { exportId: writer.id, dumps, sinceFull: opened.sinceFull }), { signal });
    if (keepPacks === true)
      await sealed?.kept.settle({ instance: instance.name, exportId: writer.id, disks, parents: opened.parentMaps ?? [] });
    if (cutOff.length > 0) await target.each((store) => forgetCutOffExports(store, instance.name, cutOff, reporter));
    return dumps;
  };
  const dumps = await sendAll({ send, tracking, commit, form, dump: { take, encode: form.encode } });
  return {
    reference: writer.reference,
    instance: instance.name,
    exportId: writer.id,
    plainBytes: sum(dumps.map((dump) => dump.plainBytes)),
    storedBytes: sum(dumps.map((dump) => dump.storedBytes)),
    dumps,
    ...(parents === undefined ? {} : { incremental: { parents, ...addCounts(counts) } }),
    warnings: reporter.warnings,
  };
}

/** The export is complete: a failure is not one of it. */
async function forgetCutOffExports(store: Store, instance: string, ids: readonly string[], reporter: Reporter): Promise<void> {
  try {
    await forgetCutOff(store, instance, ids, { signal: AbortSignal.timeout(KEEP_MS) });
  } catch (error) {
    reporter.warn(`could not remove ${CUT_OFF_FILE} of earlier exports that were cut off (${ids.join(', ')}): ${errorText(error)}`);
  }
}

interface Sending extends Pick<ExportParts, 'send'> {
  readonly tracking: ChangeTracking | undefined;
  readonly form: DumpForm;
  readonly dump: Pick<SendOptions, 'take' | 'encode'>;
  readonly commit: (sent: readonly DumpedDisk[]) => Promise<readonly DumpRecord[]>;
}

/** Sends all disks and commits the export: after the snapshots are dropped, or before, if their marks stay only with a complete export. */
async function sendAll({ send, tracking, form, dump, commit }: Sending): Promise<readonly DumpRecord[]> {
  if (tracking === undefined) return await commit(await send(dump));
  let dumps: readonly DumpRecord[] = [];
  const changes: ChangesOptions = {
    tracking,
    encode: form.encodeChanged ?? refuseChanges,
    async complete(sent, snapshots) {
      dumps = await commit(sent);
      await tracking.complete(snapshots, new Map(dumps.flatMap(({ index, map }) => (map === undefined ? [] : [[index, map.sha256]]))));
    },
  };
  await send({ ...dump, changes });
  return dumps;
}

function refuseChanges(disk: number): never {
  throw new TypeError(`disk ${disk} has no parent from which it could have changed`);
}

/** @throws GantryError `USAGE`, `OS_OPERATION_UNSUPPORTED` */
export function tracksChanges(request: ExportRequest, os: SelectedOs): boolean {
  const { trackChanges, incremental, alsoInto = [] } = request;
  if (trackChanges === 'where-possible') return incremental === true && os.definition.builtin && alsoInto.length === 0;
  if (trackChanges === true) assertTrackable(request, os);
  return trackChanges === true;
}

/** @throws GantryError `USAGE`, `OS_OPERATION_UNSUPPORTED` */
function assertTrackable({ incremental, alsoInto = [] }: ExportRequest, { definition }: SelectedOs): void {
  if (alsoInto.length > 0) {
    throw new GantryError('USAGE', {
      message: 'changes can be tracked for exports into one store only',
      hint: 'Name one store, and copy from there (gantry mirror), or leave --track-changes out.',
    });
  }
  if (incremental !== true) {
    throw new GantryError('USAGE', {
      message: 'changes can be tracked for incremental exports only',
      hint: 'Add --incremental, or leave --track-changes out.',
    });
  }
  if (definition.builtin) return;
  throw new GantryError('OS_OPERATION_UNSUPPORTED', {
    message: `cannot track changes with the OS definition ${definition.name}: what its scripts write has no place on the disk`,
    hint: 'Set os to raw in the instance file, or leave --track-changes out.',
  });
}

/** What scripts write shifts when something grows; a disk itself does not. */
function cutOf({ os }: ExportSubject): FrameCut {
  return os.name === RAW_DEFINITION.name ? 'place' : 'content';
}

/** Claims an export, with what its dumps are to be like. */
async function open(
  options: IncrementOptions,
  { incremental, signKey }: ExportParts['request'],
): Promise<
  Pick<OpenedIncrement, 'writer' | 'form' | 'parentDisks' | 'cutOff'> &
    Partial<Pick<OpenedIncrement, 'parents' | 'parentMaps' | 'sinceFull'>>
> {
  if (incremental === true) return await openIncrement(options);
  const { sink, header, disks, codec, sealing } = options;
  // Sealed dumps are read by their frame maps; what is signed, too, since a map has the SHA-256 of every frame.
  const form = sealing === undefined && signKey === undefined ? fullForm(codec) : firstForm(codec, { sealed: sealing });
  const dumps = [...disks.flatMap(form.namesOf), ...(header.dumps ?? [])];
  return { form, writer: await sink.open({ ...header, dumps }, options), parentDisks: new Map(), cutOff: [] };
}

/** What must stay private goes into sealed exports, and into others only if that is asked for. */
function includesPrivate({ includePrivate, recipients }: Pick<ExportRequest, 'includePrivate' | 'recipients'>): boolean {
  return includePrivate ?? recipients !== undefined;
}

/** The files of the native description that may go into a store. */
function nativeToKeep(request: ExportParts['request'], reporter: Reporter): readonly NativeFile[] {
  const { native = [] } = request;
  if (includesPrivate(request)) return native;
  const left = native.filter(({ secret }) => secret).map(({ name }) => name);
  if (left.length > 0) reporter.warn(`the export lacks secret parts of the native description: ${left.join(', ')} (--with-private)`);
  return native.filter(({ secret }) => !secret);
}

function recordOf({ index, summary, expectedBytes, messages, snapshot }: DumpedDisk, { disks }: Instance, form: DumpForm): DumpRecord {
  const diskSize = disks[index]?.size;
  return {
    index,
    name: form.nameOf(index),
    ...summary,
    ...(diskSize === undefined ? {} : { diskSize }),
    ...(expectedBytes === undefined ? {} : { expectedBytes }),
    messages,
    snapshot,
  };
}

function composeManifest(
  { os: { variant, ...os }, instance }: ExportSubject,
  { request, started }: ExportParts,
  { exportId, dumps, sinceFull }: Pick<ManifestDraft, 'exportId' | 'dumps'> & Partial<Pick<OpenedIncrement, 'sinceFull'>>,
): ManifestDraft {
  return {
    format: 'gantry-export',
    tool: TOOL,
    exportId,
    started: started.toISOString(),
    ended: new Date().toISOString(),
    os: { ...os, ...(variant === undefined || variant === '' ? {} : { variant }) },
    instance: describeInstance(instance, { includePrivate: includesPrivate(request) }),
    ...checkLabels(request.labels ?? {}),
    ...(sinceFull === undefined ? {} : { sinceFull }),
    dumps,
  };
}
