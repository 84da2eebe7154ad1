import type { CallOptions, Store } from '@gantry/transport';
import { readDirectory } from '../exports/directories.ts';
import { exportPrefix, formatExportReference } from '../exports/export-id.ts';
import { CONFIG_FILE, MANIFEST_FILE } from '../exports/layout.ts';
import { listWithManifests } from '../exports/list-exports.ts';
import type { StoredExport } from '../exports/open-export.ts';
import { openFound } from '../exports/open-export.ts';
import { PackDigests } from '../exports/pack-digests.ts';
import { packKey, packsOfOthers } from '../exports/export-objects.ts';
import type { Signers } from '../exports/signature.ts';
import { assertSigners, checkSignature, isRefusal } from '../exports/signature.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { withoutUnsealer } from '../exports/unsealing.ts';
import type { RememberedDepth } from '../exports/verification.ts';
import { objectMark, ownMarks, verificationOf } from '../exports/verification.ts';
import type { VerificationPlace } from '../exports/verification-records.ts';
import { VerificationRecords } from '../exports/verification-records.ts';
import { ClosedExports } from '../flow/closed-exports.ts';
import { countReads } from '../flow/counted-reads.ts';
import { ProtectionGaps } from '../flow/protection-gaps.ts';
import { assertScratchDirectory } from '../flow/scratch-disks.ts';
import { startCall } from '../flow/session.ts';
import type { StoreSurvey, VerifiableItem } from '../flow/verifiable.ts';
import { depthOf, findVerifiable } from '../flow/verifiable.ts';
import type { VerifyBudget } from '../flow/verify-budget.ts';
import { bytesOf } from '../flow/verify-budget.ts';
import { ofClosed, ofUnsigned } from '../flow/store-warnings.ts';
import type { CheckedSignature, VerifiedExport } from '../flow/verified-export.ts';
import { refusedFor, resultOf } from '../flow/verified-export.ts';
import { badPack, damagedMarks, damagedOwnMarks, isDamage, oneProblem, packProblems } from '../flow/verify-stored.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS } from '../report/reporter.ts';
import { largest } from '../system/largest.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { isRehearsalProblem, rehearseExport } from './rehearse.ts';
import type { VerifyDepth } from './verify.ts';
import { checkExport, checkOwnStored } from './verify.ts';

export interface VerifyStoreRequest extends OperationOptions, Signers {
  readonly store: Store;
  /** `stored` where absent. */
  readonly depth?: VerifyDepth | undefined;
  /** Imports each export into scratch disks in this directory, and exports them again, in the place of a depth. */
  readonly rehearseIn?: string | undefined;
  /** Everything where absent. The export at which it is used up is still verified. */
  readonly budget?: VerifyBudget | undefined;
  /** Exports, or disks of one export, under way at once; default 4. */
  readonly parallel?: number | undefined;
}

export interface VerifyStoreResult {
  readonly depth: VerifyDepth | 'rehearsal';
  /** Everything that this run looked at, damage first. */
  readonly exports: readonly VerifiedExport[];
  readonly damaged: number;
  readonly unreadable: number;
  readonly refused: number;
  /**
   * Sealed exports that this run was to read and could not open, as far as it looked: at the depth frames, they are verified as they are
   * stored; they are not rehearsed.
   */
  readonly closed: number;
  /** Identities were given, and open none of the sealed exports: they are probably the wrong ones. */
  readonly noneOpened: boolean;
  /** Exports, and packs of removed ones, that this run had no budget for. */
  readonly left: number;
  /** When the one of them was verified that waits longest; null if it never was. Absent if none is left. */
  readonly oldestLeft?: string | null;
  /** Exports that are being made, or were never finished: they are not verified. */
  readonly unfinished: number;
  /** What is stored of all exports, bytes. */
  readonly storedBytes: number;
  /** What was read from the store to verify them, bytes. */
  readonly readBytes: number;
  /** Where the results were remembered. */
  readonly remembered?: VerificationPlace;
  readonly warnings: readonly string[];
}

/** How often results are saved, ms: what a killed run found is lost since then. */
const SAVE_INTERVAL_MS = 30_000;

/** How long results may take to be saved when the operation was cancelled, ms. */
const LAST_SAVE_MS = 30_000;

/**
 * Verifies the exports of a store, those first that were not verified for the longest time. Damage in one does not end it: the result
 * says all.
 *
 * @throws GantryError `USAGE`, `STORE_*`; the reason of the signal. What was found until then is remembered
 */
export function verifyStore(request: VerifyStoreRequest): Promise<VerifyStoreResult> {
  return withFirstError(() => runVerify(request));
}

async function runVerify(request: VerifyStoreRequest): Promise<VerifyStoreResult> {
  const { budget } = request;
  const depth = request.rehearseIn === undefined ? (request.depth ?? 'stored') : 'rehearsal';
  if (depth === 'present' && budget !== undefined) {
    throw new GantryError('USAGE', {
      message: 'a budget is for what is read, and the depth present reads no dumps',
      hint: 'Leave the budget out, or use the depth stored or frames.',
    });
  }
  const { signal, reporter } = startCall('verify', request);
  if (depth === 'present' && request.allowedSigners !== undefined) {
    throw new GantryError('USAGE', {
      message: 'signatures are not checked at the depth present',
      hint: 'Use the depth stored or frames, or leave --allowed-signers and --require-signature out.',
    });
  }
  if (request.rehearseIn !== undefined) await assertScratchDirectory(request.rehearseIn);
  await assertSigners(request);
  const records = new VerificationRecords(request.store, request.stateDirectory);
  reporter.stage(`looking through ${request.store.address}`);
  const survey = await findVerifiable(request.store, records, { depth: depth === 'present' ? undefined : depth, signal });
  const closed = survey.items.filter((item) => item.isClosed).length;
  const isToOpen = depth === 'frames' || depth === 'rehearsal';
  if (closed > 0 && isToOpen) reporter.warn(ofClosed(closed, depth, 'no identity'));
  // Less than all frames needs no keys, and what is encrypted to others is verified, too.
  const counted = countReads(depth === 'stored' ? withoutUnsealer(request.store) : request.store);
  const run = new StoreVerification({ store: counted.store, readBytes: () => counted.bytes(), survey, records, reporter, request });
  if (depth !== 'present') await run.verifyAll(depth, bytesOf(budget, survey.storedBytes), signal);
  const result = run.result(depth);
  const unsigned = result.exports.filter(({ signature }) => signature?.state === 'unsigned').length;
  if (unsigned > 0) reporter.warn(ofUnsigned(unsigned, request.store));
  return {
    depth,
    ...result,
    closed: (isToOpen ? closed : 0) + run.closed.count,
    noneOpened: await run.closed.areAll(run.left, signal),
    unfinished: survey.unfinished,
    storedBytes: survey.storedBytes,
    readBytes: counted.bytes(),
    warnings: reporter.warnings,
  };
}

interface StoreVerificationOptions {
  readonly store: Store;
  /** What was read of it until now. */
  readonly readBytes: () => number;
  readonly survey: StoreSurvey;
  readonly records: VerificationRecords;
  readonly reporter: Reporter;
  readonly request: VerifyStoreRequest;
}

/** One item as it was found. */
interface ItemOutcome {
  /** Marks of the dumps that were checked. */
  readonly objects: readonly string[];
  readonly problem: GantryError | undefined;
  /** Which of them are damaged or could not be read, where the depth finds that out. */
  readonly damagedObjects?: readonly string[] | undefined;
  readonly signed?: CheckedSignature;
}

/** What became of an item. `closed`: none of the identities opens it. `failed`: also one that was removed meanwhile. */
type Verified = 'verified' | 'closed' | 'failed';

class StoreVerification {
  readonly #o: StoreVerificationOptions;
  readonly #digests: PackDigests;
  readonly #gaps: ProtectionGaps;
  readonly closed: ClosedExports;
  readonly #results = new Map<string, VerifiedExport>();
  readonly left: VerifiableItem[] = [];
  #savedAt = performance.now();
  #place: VerificationPlace | undefined;

  constructor(options: StoreVerificationOptions) {
    this.#o = options;
    this.#digests = new PackDigests(options.store);
    this.#gaps = new ProtectionGaps(options.store, options.reporter);
    this.closed = new ClosedExports(options.store, options.records);
    for (const { instance, id, reason, code } of options.survey.damaged) {
      this.#take({ reference: formatExportReference(instance, id), kind: 'export', result: 'damaged', code, reason });
    }
  }

  /** @param limit no more are started after that, bytes */
  async verifyAll(depth: RememberedDepth, limit: number, signal: AbortSignal): Promise<void> {
    const isMeant = ({ canBeRehearsed }: VerifiableItem): boolean => depth !== 'rehearsal' || canBeRehearsed;
    const items = this.#o.survey.items.filter(isMeant).toSorted((a, b) => a.turnAt - b.turnAt);
    const atOnce = depth === 'stored' ? (this.#o.request.parallel ?? DEFAULT_PARALLEL_DISKS) : 1;
    let started = 0;
    // By those that turned out to be closed: many of them must not use up each night's budget.
    let lookedBytes = 0;
    try {
      await sideBySide(items, atOnce, signal, async (item, signal) => {
        const before = this.#o.readBytes();
        if (Math.max(started, before - lookedBytes) >= limit) {
          this.left.push(item);
          return;
        }
        started += item.bytes;
        // What was read in vain is counted as it was read.
        const outcome = await this.#verify(item, depthOf(item, depth), signal);
        if (outcome !== 'verified') started -= item.bytes;
        if (outcome !== 'closed') return;
        lookedBytes += this.#o.readBytes() - before;
        if (depth === 'frames') await this.closed.queue(items, item, signal);
      });
      await this.#findAffected({ signal });
      this.#gaps.warn();
      if (this.closed.count > 0 && depth !== 'stored') this.#o.reporter.warn(ofClosed(this.closed.count, depth, 'of others'));
    } finally {
      // Also what was found before the operation was cancelled.
      await this.#save({ signal: AbortSignal.timeout(LAST_SAVE_MS) });
    }
  }

  result(
    depth: VerifyStoreResult['depth'],
  ): Pick<VerifyStoreResult, 'exports' | 'damaged' | 'unreadable' | 'refused' | 'left' | 'oldestLeft' | 'remembered'> {
    if (depth === 'present') this.#takeSound();
    const order = ['damaged', 'refused', 'unreadable', 'sound'];
    const exports = [...this.#results.values()].toSorted((a, b) => order.indexOf(a.result) - order.indexOf(b.result));
    const count = (result: VerifiedExport['result']): number => exports.filter((each) => each.result === result).length;
    const oldest = -largest(this.left.map(({ verifiedAt }) => -verifiedAt));
    return {
      exports,
      damaged: count('damaged'),
      unreadable: count('unreadable'),
      refused: count('refused'),
      left: this.left.length,
      ...(this.left.length === 0 ? {} : { oldestLeft: oldest === 0 ? null : new Date(oldest).toISOString() }),
      ...(this.#place === undefined ? {} : { remembered: this.#place }),
    };
  }

  /** What the survey found nothing against. */
  #takeSound(): void {
    for (const { instance, id, kind } of this.#o.survey.items) {
      this.#take({ reference: formatExportReference(instance, id), kind, result: 'sound' });
    }
  }

  async #verify(item: VerifiableItem, depth: RememberedDepth, signal: AbortSignal): Promise<Verified> {
    const outcome = await this.#verifyOne(item, depth, signal);
    if (performance.now() - this.#savedAt >= SAVE_INTERVAL_MS) await this.#save({ signal });
    return outcome;
  }

  async #verifyOne(item: VerifiableItem, depth: RememberedDepth, signal: AbortSignal): Promise<Verified> {
    const { instance, id, kind } = item;
    const reference = formatExportReference(instance, id);
    try {
      const outcome = kind === 'packs' ? await this.#verifyPacks(item, { signal }) : await this.#verifyExport(item, depth, signal);
      if (outcome === undefined) return 'failed';
      const { objects, problem, damagedObjects, signed = {} } = outcome;
      const refusal = 'refusal' in signed ? signed.refusal : undefined;
      if ((problem ?? refusal) !== undefined && (await this.#isGone(item, { signal }))) return 'failed';
      if (problem !== undefined && !isRehearsalProblem(problem)) throw problem;
      await this.#o.records.note(instance, id, depth, verificationOf(objects, problem, damagedObjects), { signal });
      this.#take({
        reference,
        kind,
        ...(item.isClosed && this.#o.request.depth === 'frames' ? { sealed: 'closed' } : {}),
        ...(problem === undefined && refusal !== undefined ? refusedFor(refusal) : resultOf(problem, signed)),
      });
      return 'verified';
    } catch (error) {
      signal.throwIfAborted();
      // What cannot be reached now cannot be reached for the next export either.
      if (!(error instanceof GantryError) || error.code === 'STORE_UNAVAILABLE') throw error;
      // Also where they do not open all packs that it needs.
      if (error.code === 'IDENTITY_MISMATCH') {
        this.closed.add();
        return 'closed';
      }
      await this.#o.records.noteTried(instance, id, depth, { signal });
      const found = isRefusal(error) ? refusedFor(error) : { result: 'unreadable' as const, code: error.code, reason: error.message };
      this.#take({ reference, kind, ...found });
      return 'failed';
    }
  }

  /** Undefined if the export was removed meanwhile. */
  async #verifyExport(item: VerifiableItem, depth: RememberedDepth, signal: AbortSignal): Promise<ItemOutcome | undefined> {
    const { store } = this.#o;
    const directory = await withStoreErrors(store.address, () => readDirectory(store, item, { signal }));
    if (!directory.files.has(MANIFEST_FILE) && !directory.files.has(CONFIG_FILE)) return undefined;
    const found = await openFound(store, { directory, warnings: [] }, { signal });
    if (depth === 'frames' && found.mismatch !== undefined) throw found.mismatch;
    const objects = found.manifest === undefined ? [] : ownMarks(found.manifest);
    const signed = await this.#checkSigned(found, signal);
    // Nothing of it may reach a script.
    if (depth === 'rehearsal' && 'refusal' in signed) throw signed.refusal;
    if (found.manifest !== undefined) await this.#gaps.lookFor({ manifest: found.manifest, files: directory.files.keys() }, { signal });
    if (depth === 'rehearsal' && found.mismatch !== undefined) throw found.mismatch;
    if (depth !== 'stored' && item.isSealed) this.closed.noteOpened();
    if (depth === 'rehearsal') return { objects, signed, problem: await this.#rehearsalProblem(found.reference, signal) };
    // Without checksums there are only the frames to check.
    if (found.manifest === undefined || depth === 'frames') return { objects, signed, problem: await this.#frameProblem(found, signal) };
    const problems = await checkOwnStored(store, found, this.#digests, signal);
    const damagedObjects = await damagedOwnMarks(found.manifest, this.#digests);
    return { objects, signed, problem: oneProblem(problems), damagedObjects };
  }

  /** @throws GantryError that is not a refusal */
  async #checkSigned(found: StoredExport, signal: AbortSignal): Promise<CheckedSignature> {
    const { store, request } = this.#o;
    if (request.allowedSigners === undefined) return {};
    try {
      return { signature: await checkSignature(store, found, { ...request, signal }) };
    } catch (error) {
      if (isRefusal(error)) return { refusal: error };
      throw error;
    }
  }

  async #rehearsalProblem(reference: string, signal: AbortSignal): Promise<GantryError | undefined> {
    const { store, request } = this.#o;
    try {
      await rehearseExport({ ...request, store, export: reference, directory: request.rehearseIn ?? '', signal });
      return undefined;
    } catch (error) {
      if (isRehearsalProblem(error)) return error;
      throw error;
    }
  }

  async #frameProblem(found: StoredExport, signal: AbortSignal): Promise<GantryError | undefined> {
    const { store, reporter, request } = this.#o;
    try {
      await checkExport(store, found, { signal, reporter, parallel: request.parallel });
      return undefined;
    } catch (error) {
      if (isDamage(error)) return error;
      throw error;
    }
  }

  async #verifyPacks({ instance, id }: VerifiableItem, options: CallOptions): Promise<ItemOutcome> {
    const prefix = exportPrefix(instance, id);
    const claims = [...this.#o.survey.claims].flatMap(([key, packs]) => (key.startsWith(prefix) ? packs : []));
    const problems = await packProblems(claims, this.#digests, { ...options, address: this.#o.store.address });
    const objects = claims.map(({ sha256 }) => objectMark(sha256));
    return { objects, problem: oneProblem(problems), damagedObjects: await damagedMarks(claims, this.#digests) };
  }

  /** An export that is being removed looks damaged. */
  async #isGone({ instance, id, kind }: VerifiableItem, options: CallOptions): Promise<boolean> {
    if (kind === 'packs') return false;
    const { store } = this.#o;
    const files = await withStoreErrors(store.address, () => readDirectory(store, { instance, id }, options));
    return !files.files.has(MANIFEST_FILE) && !files.files.has(CONFIG_FILE);
  }

  /** Exports whose frames are in packs of others that turned out to be damaged, or are not what these exports say. */
  async #findAffected(options: CallOptions): Promise<void> {
    if (!(await this.#hasBadClaim())) return;
    for await (const found of listWithManifests(this.#o.store, options)) {
      for (const each of found) {
        if (each.kind === 'removed' || each.manifest === undefined) continue;
        const { manifest, summary } = each;
        for (const pack of packsOfOthers(manifest)) {
          const known = await this.#digests.known(packKey(pack));
          const problem = known && badPack(pack, known.digest);
          if (problem === undefined || this.#results.get(summary.reference)?.result === 'damaged') continue;
          this.#take({ reference: summary.reference, kind: 'export', ...resultOf(problem) });
        }
      }
    }
  }

  async #hasBadClaim(): Promise<boolean> {
    for (const [key, packs] of this.#o.survey.claims) {
      const known = await this.#digests.known(key);
      if (known !== undefined && packs.some((pack) => badPack(pack, known.digest) !== undefined)) return true;
    }
    return false;
  }

  /** Something that is sound in its directory does not make an export less damaged. */
  #take(found: VerifiedExport): void {
    if (this.#results.get(found.reference)?.result === 'damaged') return;
    this.#results.set(found.reference, found);
    if (found.result !== 'sound') this.#o.reporter.stage(`${found.reference} is ${found.result}: ${found.reason ?? ''}`);
  }

  /** A result that cannot be remembered is found again by another run. */
  async #save(options: CallOptions): Promise<void> {
    this.#savedAt = performance.now();
    try {
      this.#place = (await this.#o.records.save(options)) ?? this.#place;
    } catch (error) {
      options.signal?.throwIfAborted();
      this.#o.reporter.warn(`cannot remember what was verified: ${errorText(error)}`);
    }
  }
}
