import type { Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { CopiedManifest, CopySigners } from '../exports/copied-manifest.ts';
import { assertAccepted, assertCopySigners, findCopied, judgesOf } from '../exports/copied-manifest.ts';
import { lookAtPlace, otherExport } from '../exports/copy-place.ts';
import type { ExportDirectory } from '../exports/directories.ts';
import { isBrought, isRemoved, readAllDirectories, readDirectories, readDirectory } from '../exports/directories.ts';
import { examine } from '../exports/examine.ts';
import { compareExportIds, exportPrefix, formatExportReference, GANETI_ID } from '../exports/export-id.ts';
import { MANIFEST_FILE } from '../exports/layout.ts';
import { isSameRun } from '../exports/same-export.ts';
import { asGantryError, withStoreErrors } from '../exports/store-errors.ts';
import { assertStoreFormat, requireStore } from '../exports/store-marker.ts';
import { bringAdded, hasAdded, mayLackAdded } from '../flow/bring-added.ts';
import { copyExport } from '../flow/copy-export.ts';
import type { CopyWay } from '../flow/copy-way.ts';
import type { MirroredInstance, MirrorPlan } from '../flow/mirror-plan.ts';
import { matchesAny, planMirror } from '../flow/mirror-plan.ts';
import { startCall } from '../flow/session.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { ERROR_EXIT_CODES, GantryError } from '../report/errors.ts';
import { asFirstError, withFirstError } from '../report/first-error.ts';
import type { OperationOptions } from '../report/reporter.ts';

const OF_ONE_EXPORT: ReadonlySet<GantryErrorCode> = new Set(['BUSY', 'EXPORT_EXISTS', 'EXPORT_INCOMPLETE', 'EXPORT_NOT_FOUND']);

/** With allowed signers, exports whose signatures are refused are not copied. */
export interface MirrorRequest extends Pick<OperationOptions, 'signal' | 'onEvent'>, CopySigners {
  /** The store whose exports are copied. Everything in it counts as hostile. */
  readonly source: Store;
  /** The store to which they are copied. The caller disposes both. */
  readonly target: Store;
  /** Names of instances, in which `*` stands for any characters; all instances where absent. */
  readonly instances?: readonly string[] | undefined;
  /** Only that many exports of each instance, the newest ones. */
  readonly newest?: number | undefined;
  /** Only exports that have all of these tags at the source. */
  readonly tags?: readonly string[] | undefined;
  /** Also copies exports that are older than the newest one of the instance at the target: what was removed there comes back. */
  readonly withOlder?: boolean | undefined;
  /** Only says what would be copied. */
  readonly dryRun?: boolean | undefined;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
  /** Makes a new store if there is none. Otherwise that is refused with `STORE_NOT_FOUND`. */
  readonly createStore?: boolean | undefined;
}

/** What became of an export that the target lacked. */
export interface MirroredExport {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  /** `planned`: it would be copied, if this were not a dry run. `failed` in a dry run: its signature is refused, or what is needed for that cannot be read. */
  readonly outcome: 'copied' | 'planned' | 'failed';
  /** Of dumps and other large objects, sent in this run. */
  readonly sentBytes: number;
  /** Why it was not copied. */
  readonly reason?: string;
  readonly code?: GantryErrorCode;
}

export interface MirrorResult {
  readonly exports: readonly MirroredExport[];
  /** How many the target had already. */
  readonly present: number;
  /** How many were passed over because the target has newer ones of the instance, or removed them. */
  readonly older: number;
  /** With `tags`: how many were passed over because they do not have them. */
  readonly untagged?: number;
  /** The newest export of each of these instances that the target has now, `INSTANCE@EXPORT-ID`; none with a time in the future. */
  readonly newest: readonly string[];
  /** The instances of which the target has exports, all with a time in the future. */
  readonly futureOnly: readonly string[];
  readonly sentBytes: number;
  readonly warnings: readonly string[];
}

/**
 * Copies what a store has and another one lacks, the oldest exports of each instance first, each under its id. Removes nothing, and does not
 * bring back what the target's retention removed. Keys and labels that exports got since they were copied come, too. An export that is damaged or refused at the source, or whose id another one has at the
 * target, is passed over, and the result says so; any other failure ends the mirror, and the next one continues.
 *
 * @throws GantryError, or the reason of the signal
 */
export function mirrorStore(request: MirrorRequest): Promise<MirrorResult> {
  return withFirstError(() => mirror(request));
}

async function mirror(request: MirrorRequest): Promise<MirrorResult> {
  const {
    source,
    target,
    instances: patterns = [],
    newest,
    tags = [],
    withOlder = false,
    dryRun = false,
    createStore = false,
    parallel,
  } = request;
  const { signal, reporter } = startCall('mirror', request);
  await assertCopySigners(request);
  await withStoreErrors(source.address, () => assertStoreFormat(source, { signal }));
  if (!dryRun) await requireStore(target, { create: createStore, signal });
  const found = await bothSides(source, target, signal);
  const plans = planMirror(found.instances, { patterns, newest, withOlder });
  if (patterns.length > 0 && plans.length === 0) throw noInstance(source, patterns);
  if (found.ofGaneti > 0) reporter.warn(`${found.ofGaneti} exports that Ganeti made are not copied: they have no checksums`);
  for (const { instance, future } of plans) for (const id of future) reporter.warn(ofFuture(formatExportReference(instance, id)));
  const bringsOf = (instance: string): boolean => matchesAny(patterns, instance);
  const way: CopyWay = { source, target, bringsOf, targetSigners: request.targetSigners, reporter, signal, parallel };
  const exports: MirroredExport[] = [];
  const newestThere: string[] = [];
  const futureOnly: string[] = [];
  let untagged = 0;
  for (const all of plans) {
    const plan = await withTags(way, all, tags);
    untagged += all.copy.length - plan.copy.length;
    const done = dryRun ? await planInstance(way, plan, request) : await mirrorInstance(way, plan, request);
    const brought = dryRun ? [] : await bringAll(way, plan.instance, found.added.get(plan.instance) ?? []);
    for (const each of [...done, ...brought]) exports.push(each);
    const ids = idsThere(plan, done);
    const newestId = ids.findLast((id) => !plan.future.includes(id));
    if (newestId !== undefined) newestThere.push(formatExportReference(plan.instance, newestId));
    else if (ids.length > 0) futureOnly.push(plan.instance);
  }
  return {
    exports,
    present: plans.reduce((total, { present }) => total + present.length, 0),
    older: plans.reduce((total, { older }) => total + older.length, 0),
    ...(tags.length === 0 ? {} : { untagged }),
    newest: newestThere,
    futureOnly,
    sentBytes: exports.reduce((total, { sentBytes }) => total + sentBytes, 0),
    warnings: reporter.warnings,
  };
}

function ofFuture(reference: string): string {
  return `the start time of ${reference} is in the future: the clock of the host that made it was ahead. It does not count as the newest export`;
}

/** The exports of an instance that the target has now, the oldest first. */
function idsThere({ instance, copy, there }: MirrorPlan, done: readonly MirroredExport[]): readonly string[] {
  const copied = new Set(done.flatMap(({ reference, outcome }) => (outcome === 'copied' ? [reference] : [])));
  return [...there, ...copy.filter((id) => copied.has(formatExportReference(instance, id)))].toSorted(compareExportIds);
}

/** What would become of the exports of one instance. Signatures are checked, nothing else is read. */
async function planInstance(way: CopyWay, { instance, copy }: MirrorPlan, signers: CopySigners): Promise<MirroredExport[]> {
  const planned: MirroredExport[] = [];
  for (const id of copy) {
    const reference = formatExportReference(instance, id);
    try {
      if (judgesOf(signers).length > 0) await findAccepted(way, reference, signers);
      planned.push({ reference, outcome: 'planned', sentBytes: 0 });
    } catch (error) {
      const { message, code } = failureOfOne(error);
      if (await isRemovedNow(way, instance, id)) continue;
      planned.push({ reference, outcome: 'failed', sentBytes: 0, reason: message, code });
    }
  }
  return planned;
}

/** @throws GantryError `SIGNATURE_*` for an export that is refused, and as {@link findCopied} */
async function findAccepted(
  { source, signal, reporter }: CopyWay,
  reference: string,
  { allowedSigners, requireSignature, targetSigners }: CopySigners,
): Promise<CopiedManifest> {
  const copied = await findCopied(source, reference, { signal });
  for (const warning of copied.warnings) reporter.warn(warning);
  await assertAccepted(source, copied, { allowedSigners, requireSignature, targetSigners, signal });
  return copied;
}

/** Copies the exports of one instance, one after the other: later ones refer to frames of earlier ones. */
async function mirrorInstance(way: CopyWay, { instance, copy, present }: MirrorPlan, signers: CopySigners): Promise<MirroredExport[]> {
  const done: MirroredExport[] = [];
  const known = present.at(-1);
  for (const id of copy) {
    const reference = formatExportReference(instance, id);
    try {
      // Where an id means two exports, the wrong stores are mirrored.
      if (id === copy[0] && known !== undefined) await assertSameRun(way, instance, known);
      const { outcome, sentBytes } = await copyExport(way, await findAccepted(way, reference, signers));
      if (outcome === 'copied') done.push({ reference, outcome, sentBytes });
    } catch (error) {
      const { message, code } = failureOfOne(error);
      if (await isRemovedNow(way, instance, id)) continue;
      way.reporter.warn(`${reference} was not copied: ${message} [${code}]`);
      done.push({ reference, outcome: 'failed', sentBytes: 0, reason: message, code });
      if (code === 'BUSY' || code === 'EXPORT_EXISTS') break;
    }
  }
  return done;
}

/** @returns the exports to which keys or labels could not be brought */
async function bringAll(way: CopyWay, instance: string, ids: readonly string[]): Promise<MirroredExport[]> {
  const failed: MirroredExport[] = [];
  for (const id of ids) {
    const reference = formatExportReference(instance, id);
    try {
      const copied = await findCopied(way.source, reference, { signal: way.signal });
      const there = await withStoreErrors(way.target.address, () => lookAtPlace(way.target, { instance, id }, { signal: way.signal }));
      if (there.state !== 'export') continue;
      if (!isSameRun(copied.manifest, there.manifest)) throw otherExport(way.target, reference);
      await withStoreErrors(way.target.address, () => bringAdded(way, copied, there.manifest));
    } catch (error) {
      const { message, code } = failureOfOne(error);
      if (await isRemovedNow(way, instance, id)) continue;
      way.reporter.warn(`keys and labels of ${reference} were not copied: ${message} [${code}]`);
      failed.push({ reference, outcome: 'failed', sentBytes: 0, reason: message, code });
    }
  }
  return failed;
}

/** Of the exports that would be copied, those that have all tags. One that cannot be read is among them: copying it says what is wrong. */
async function withTags({ source, signal }: CopyWay, plan: MirrorPlan, tags: readonly string[]): Promise<MirrorPlan> {
  if (tags.length === 0) return plan;
  const tagged: string[] = [];
  for (const id of plan.copy) {
    const has = (await tagsOf(source, plan.instance, id, signal)) ?? tags;
    if (tags.every((tag) => has.includes(tag))) tagged.push(id);
  }
  return { ...plan, copy: tagged };
}

/** Undefined if it or its labels cannot be read, or it was removed meanwhile. */
async function tagsOf(source: Store, instance: string, id: string, signal: AbortSignal): Promise<readonly string[] | undefined> {
  try {
    const found = await examine(source, await readDirectory(source, { instance, id }, { signal }), { signal });
    return found.state === 'gantry' && found.labelsProblem === undefined ? (found.manifest.tags ?? []) : undefined;
  } catch (error) {
    if (isStoreError(error, 'not-found')) return undefined;
    throw asGantryError(error, source.address);
  }
}

/** Whether the source has removed the export since it was listed. */
async function isRemovedNow({ source, signal }: CopyWay, instance: string, id: string): Promise<boolean> {
  try {
    await source.stat(`${exportPrefix(instance, id)}${MANIFEST_FILE}`, { signal });
    return false;
  } catch (error) {
    if (isStoreError(error, 'not-found')) return true;
    throw asGantryError(error, source.address);
  }
}

/** The failure of one export, after which others can be copied. @throws any other error */
function failureOfOne(error: unknown): GantryError {
  const failure = asFirstError(error);
  if (!(failure instanceof GantryError)) throw error;
  const isDamage = ERROR_EXIT_CODES[failure.code] === ERROR_EXIT_CODES.DUMP_DAMAGED;
  if (isDamage || OF_ONE_EXPORT.has(failure.code)) return failure;
  throw failure;
}

/** @throws GantryError `EXPORT_EXISTS` if two exports have one id */
async function assertSameRun({ source, target, signal }: CopyWay, instance: string, id: string): Promise<void> {
  const reference = formatExportReference(instance, id);
  const found = await withStoreErrors(target.address, () => lookAtPlace(target, { instance, id }, { signal }));
  if (found.state !== 'export') return;
  const { manifest } = await findCopied(source, reference, { signal });
  if (!isSameRun(manifest, found.manifest)) throw otherExport(target, reference);
}

interface BothSides {
  readonly instances: readonly MirroredInstance[];
  /** How many exports of Ganeti's own the source has. */
  readonly ofGaneti: number;
  /** Of each instance, the exports on both sides that may have got keys or labels since. */
  readonly added: ReadonlyMap<string, readonly string[]>;
}

/** Lists both stores completely: without one of the listings, nothing is copied. */
async function bothSides(source: Store, target: Store, signal: AbortSignal): Promise<BothSides> {
  let ofGaneti = 0;
  const instances = new Map<string, MirroredInstance>();
  const changed = new Map<string, readonly ExportDirectory[]>();
  const added = new Map<string, readonly string[]>();
  await withStoreErrors(source.address, async () => {
    for await (const directories of readDirectories(source, undefined, { signal })) {
      const [first] = directories;
      ofGaneti += directories.filter(({ id }) => id === GANETI_ID).length;
      const ids = complete(directories);
      if (first !== undefined && ids.length > 0) {
        instances.set(first.instance, { instance: first.instance, source: ids, target: [], removed: [] });
        changed.set(first.instance, directories.filter(hasAdded));
      }
    }
  });
  await unlessAbsent(target, async () => {
    for await (const directories of readAllDirectories(target, undefined, { signal })) {
      const known = instances.get(directories[0]?.instance ?? '');
      if (known === undefined) continue;
      // Of those whose packs alone were brought, nothing was removed.
      const removed = directories.filter((directory) => isRemoved(directory) && !isBrought(directory)).map(({ id }) => id);
      const there = new Map(directories.map((directory) => [directory.id, directory]));
      const lacking = (changed.get(known.instance) ?? []).filter((directory) => mayLackAdded(directory, there.get(directory.id)));
      added.set(
        known.instance,
        lacking.map(({ id }) => id),
      );
      instances.set(known.instance, { ...known, target: complete(directories), removed });
    }
  });
  return { instances: [...instances.values()], ofGaneti, added };
}

/** Of a place that does not exist yet, there is nothing to list. */
async function unlessAbsent(target: Store, list: () => Promise<void>): Promise<void> {
  try {
    await list();
  } catch (error) {
    if (!isStoreError(error, 'not-found')) throw asGantryError(error, target.address);
  }
}

function complete(directories: readonly ExportDirectory[]): readonly string[] {
  return directories.filter(({ id, files }) => id !== GANETI_ID && files.has(MANIFEST_FILE)).map(({ id }) => id);
}

function noInstance(source: Store, patterns: readonly string[]): GantryError {
  return new GantryError('EXPORT_NOT_FOUND', {
    message: `there is no export in ${source.address} of an instance that ${patterns.join(' or ')} matches`,
    hint: 'gantry list shows all exports.',
  });
}
