import type { Store } from '@gantry/transport';
import { readSideFile } from '../exports/examine.ts';
import { objectsOfOthers, ownObjects, packsOfOthers } from '../exports/export-objects.ts';
import { CONFIG_FILE, SIGNATURE_FILE, SUMS_FILE } from '../exports/layout.ts';
import type { StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import type { SignatureState, Signers } from '../exports/signature.ts';
import { checkSignature } from '../exports/signature.ts';
import { parseSha256Sums } from '../exports/sha256sums.ts';
import { PackDigests } from '../exports/pack-digests.ts';
import type { ProtectedExport } from '../exports/protection.ts';
import { describeGap, Protections } from '../exports/protection.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { digestText } from '../exports/small-object.ts';
import { assertOpened, isClosed, withoutUnsealer } from '../exports/unsealing.ts';
import type { RememberOptions } from '../flow/remembering.ts';
import { remembering } from '../flow/remembering.ts';
import { startCall } from '../flow/session.ts';
import { ofMismatch } from '../flow/store-warnings.ts';
import { verifyDumps } from '../flow/verify-dumps.ts';
import { damagedOwnMarks, FoundProblems, isDamage, oneProblem, packProblems, storedProblems } from '../flow/verify-stored.ts';
import { GantryError } from '../report/errors.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';

export interface VerifyRequest extends Pick<OperationOptions, 'signal' | 'onEvent'>, Signers {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** Where absent: `frames`, or `stored` for a sealed export that cannot be opened, also if it is closed to the identities. */
  readonly depth?: VerifyDepth | undefined;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
  /** Remembers the result, in the store or in this state directory (`stateDirectoryPath`). */
  readonly remember?: RememberOptions['remember'];
}

export interface VerifyResult {
  readonly reference: string;
  readonly depth: VerifyDepth;
  /** Of a sealed export: whether an identity opened it, which only the depth `frames` needs. */
  readonly sealed?: 'opened' | 'closed';
  readonly signature: SignatureState;
  /** Whether there were checksums to hold it against: not in an export that Ganeti made. */
  readonly checksums: boolean;
  /** Plain bytes that were read: 0 where frames were not decoded. */
  readonly plainBytes: number;
  /** Until when the service keeps everything that it needs, also if its removal is asked for. Absent if it does not, or does not say. */
  readonly protectedUntil?: Date;
  readonly warnings: readonly string[];
}

/** How much of an export a verification looks at, each more than the one before. */
export type VerifyDepth = 'present' | 'stored' | 'frames';

/**
 * Verifies one export. At depth `frames`, reads all of it and checks every frame, the digest and size of every dump, the native
 * description, `config.ini` and `SHA256SUMS`; at `stored`, all but the frames; at `present`, names and sizes. All damage is found, not
 * just the first.
 *
 * @throws GantryError `DUMP_DAMAGED`, `DUMP_MISSING`, `NATIVE_DAMAGED`, `MANIFEST_DAMAGED`, `MAP_DAMAGED`, `PACK_MISSING`,
 *   `CONFIG_DAMAGED` and what `openExport` throws; `IDENTITY_NEEDED`, `IDENTITY_MISMATCH` at the depth `frames`, where it is
 *   asked for, for a sealed export that cannot be opened
 */
export async function verifyExport(request: VerifyRequest): Promise<VerifyResult> {
  const { parallel } = request;
  // Less than all frames needs no keys, and what is encrypted to others is verified, too.
  const store = request.depth === undefined || request.depth === 'frames' ? request.store : withoutUnsealer(request.store);
  const { signal, reporter } = startCall('verify', request);
  const found = await openExport(store, request.export, { signal });
  for (const warning of found.warnings) reporter.warn(warning);
  const signature = await checkSignature(store, found, { ...request, signal });
  const digests = new PackDigests(store);
  const { manifest } = found;
  const closed = isClosed(store, found);
  const depth = request.depth ?? (closed ? 'stored' : 'frames');
  if (depth === 'frames') assertOpened(store, found);
  if (found.mismatch !== undefined) reporter.warn(ofMismatch(found.reference));
  const damagedObjects = depth === 'stored' && manifest !== undefined ? () => damagedOwnMarks(manifest, digests) : undefined;
  const plainBytes = await remembering({ ...request, depth, isProblem: isDamage, damagedObjects }, found, reporter, async () => {
    // Without checksums there are only the frames to check.
    if (depth === 'frames' || (depth === 'stored' && found.origin === 'ganeti'))
      return await checkExport(store, found, { signal, reporter, parallel });
    reporter.stage(`verifying ${found.reference}`);
    if (depth === 'present') await found.checkDumpsPresent({ signal });
    const problem = depth === 'stored' ? oneProblem(await checkStored(store, found, digests, signal)) : undefined;
    if (problem !== undefined) throw problem;
    return 0;
  });
  const sealed = manifest?.sealed === undefined ? {} : { sealed: closed ? ('closed' as const) : ('opened' as const) };
  const files = [SUMS_FILE, ...(signature.state === 'unsigned' ? [] : [SIGNATURE_FILE]), ...(found.addedKeys ?? [])];
  const protectedUntil = manifest && (await protectionOf(store, { manifest, files }, reporter, signal));
  return {
    reference: found.reference,
    depth,
    ...sealed,
    signature,
    checksums: found.origin === 'gantry',
    plainBytes,
    ...(protectedUntil === undefined ? {} : { protectedUntil }),
    warnings: reporter.warnings,
  };
}

/** Asks the service, object by object. */
function protectionOf(store: Store, found: ProtectedExport, reporter: Reporter, signal: AbortSignal): Promise<Date | undefined> {
  return withStoreErrors(store.address, async () => {
    const protections = new Protections(store);
    const gap = await protections.gapOf(found, { signal });
    if (gap !== undefined) reporter.warn(describeGap(gap, store.address));
    return await protections.of(found, { signal });
  });
}

/** Everything that an export needs, as it is stored: also the packs in directories of others. @returns every problem */
async function checkStored(store: Store, found: StoredExport, digests: PackDigests, signal: AbortSignal): Promise<readonly GantryError[]> {
  const own = await checkOwnStored(store, found, digests, signal);
  const foreign = found.manifest === undefined ? [] : packsOfOthers(found.manifest);
  return [...own, ...(await packProblems(foreign, digests, { signal, address: store.address }))];
}

/** What is in the directory of an export, as it is stored. @returns every problem */
export async function checkOwnStored(
  store: Store,
  found: StoredExport,
  digests: PackDigests,
  signal: AbortSignal,
): Promise<readonly GantryError[]> {
  const checkFiles = (): Promise<void> => checkSums(store, found, signal);
  return await storedProblems(found, digests, { signal, checkSums: checkFiles, address: store.address });
}

/**
 * All of an export that is open, to the depth `frames`: also its dumps when something else of it is damaged.
 *
 * @returns plain bytes that were read
 * @throws GantryError with the first damage; the others are in its details
 */
export async function checkExport(
  store: Store,
  found: StoredExport,
  { signal, reporter, parallel }: Pick<VerifyRequest, 'parallel'> & { readonly signal: AbortSignal; readonly reporter: Reporter },
): Promise<number> {
  reporter.stage(`verifying ${found.reference}`);
  const problems = new FoundProblems(store.address, signal);
  if (found.origin === 'gantry') await problems.check(() => checkSums(store, found, signal));
  else
    reporter.warn(
      `${found.reference} was made by Ganeti: it carries no checksums; only what the compressed format itself checks is checked`,
    );
  for (const { name } of found.native) await problems.check(() => found.nativeFile(name, { signal }));
  const plainBytes = await problems.check(() => verifyDumps(found, found.dumps, { reporter, signal, parallel }));
  const problem = oneProblem(problems.all);
  if (problem !== undefined) throw problem;
  return plainBytes ?? 0;
}

/** `config.ini` is as it was written, and `SHA256SUMS` says what the manifest says. */
async function checkSums(store: Store, found: StoredExport, signal: AbortSignal): Promise<void> {
  const parsed = parseSha256Sums(await readSideFile(store, found, SUMS_FILE, { signal }), `${SUMS_FILE} of ${found.reference}`);
  const sums = new Map(parsed.map(({ name, sha256 }) => [name, sha256]));
  const objects = found.manifest === undefined ? [] : [...ownObjects(found.manifest), ...objectsOfOthers(found.manifest)];
  const wrong = objects.find(({ name, sha256 }) => sums.get(name) !== sha256);
  if (wrong !== undefined) {
    throw new GantryError('MANIFEST_DAMAGED', {
      message: `${found.reference}: manifest.json and SHA256SUMS say different things of ${wrong.name}`,
      hint: 'One of them was changed: see which with sha256sum -c SHA256SUMS.',
      disk: wrong.disk,
    });
  }
  // It would say in the open what is encrypted.
  if (found.manifest?.sealed !== undefined) return;
  if (sums.get(CONFIG_FILE) === digestText(await readSideFile(store, found, CONFIG_FILE, { signal })).sha256) return;
  throw new GantryError('CONFIG_DAMAGED', {
    message: `${found.reference}: config.ini is not as it was written`,
    hint: 'Gantry goes by manifest.json; before Ganeti reads this export, compare config.ini with it.',
  });
}
