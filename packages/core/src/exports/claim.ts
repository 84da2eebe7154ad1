import type { CallOptions, HostProcess, OwnerState, Store } from '@gantry/transport';
import { StoreError, isStoreError, ownerOf, thisProcess } from '@gantry/transport';
import { z } from 'zod';
import { GantryError } from '../report/errors.ts';
import { hostProcessSchema } from '../system/process-owner.ts';
import { exportPrefix, makeExportId } from './export-id.ts';
import { CLAIM_FILE, isDumpName } from './layout.ts';
import { orNothing } from './or-nothing.ts';
import { allowWriteOnly } from './write-only.ts';
import { readText, UnreadableTextError, writeText } from './small-object.ts';

/** With the names of 1000 dumps and 100 native files, and of the exports that thousands of packs belong to. A longer one is not written. */
export const MAX_CLAIM_BYTES: number = 1024 * 1024;

/** Cleaning up has its own timeout, since it must also run when the operation was cancelled. */
const CLEANUP_MS = 30_000;

/** Far more exports than a host can start within a second. */
const MAX_ORDINALS = 10_000;

/** How often a claim may fail because of something invisible, such as the claim of another exporter that was just removed. */
const MAX_UNSEEN = 3;

/** Says who is working on an export that does not have a manifest yet. */
export interface ClaimRecord {
  readonly format: 'gantry-claim';
  readonly version: 1;
  readonly runId: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly process: HostProcess;
  /** The names of its dumps, by which their unfinished writes are found. Absent in claims of an earlier Gantry. */
  readonly dumps?: readonly string[] | undefined;
  /** `INSTANCE@EXPORT-ID` of every export whose packs may be referred to: these packs must stay. */
  readonly parents?: readonly string[] | undefined;
  /** Of a sealed export: who can read its packs; empty with a passphrase. */
  readonly recipients?: readonly string[] | undefined;
  /** Of a copy that writes objects as they are: the SHA-256 of the manifest that it copies. Only a copy of the same one continues it. */
  readonly copies?: string | undefined;
}

const claimSchema: z.ZodType<ClaimRecord> = z.object({
  format: z.literal('gantry-claim'),
  version: z.literal(1),
  runId: z.string(),
  tool: z.object({ name: z.string(), version: z.string() }),
  started: z.iso.datetime(),
  process: hostProcessSchema,
  dumps: z.array(z.string().refine(isDumpName)).optional(),
  parents: z.array(z.string()).optional(),
  recipients: z.array(z.string()).optional(),
  copies: z.string().optional(),
});

export interface ClaimRequest {
  readonly instance: string;
  readonly started: Date;
  /** Unique for this run. */
  readonly runId: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** The names of the dumps, where known. */
  readonly dumps?: readonly string[] | undefined;
  /** `INSTANCE@EXPORT-ID` of every export whose packs may be referred to. */
  readonly parents?: readonly string[] | undefined;
  /** Of a sealed export. */
  readonly recipients?: readonly string[] | undefined;
  /** SHA-256 of the manifest that is copied. */
  readonly copies?: string | undefined;
}

/** A claim that was made here. */
export interface Claim {
  readonly id: string;
  /** Its text, which is unique. */
  readonly text: string;
  /** Whether nothing else was seen there; false if this user may not look. */
  readonly alone: boolean;
}

/**
 * Reserves a unique export id by creating its claim. Of two exporters of one instance in the same second, the second gets the id with
 * `-2`. (If the store cannot create without replacing, both may get the same id: the first notices by {@link readClaimText} before it
 * writes its manifest.)
 *
 * @throws GantryError `USAGE` for a request that is too large for a claim; StoreError
 */
export async function claimExport(store: Store, request: ClaimRequest, options: CallOptions): Promise<Claim> {
  const text = await renderClaim(request);
  let unseen = 0;
  for (let ordinal = 1; ordinal <= MAX_ORDINALS; ordinal += 1) {
    const id = makeExportId(request.started, ordinal);
    const claimed = await tryToClaim(store, exportPrefix(request.instance, id), text, options);
    if (isStoreError(claimed)) {
      unseen += 1;
      if (unseen === MAX_UNSEEN) throw inTheWay(claimed);
    } else if (claimed !== undefined) {
      return { id, text, ...claimed };
    }
  }
  throw new RangeError(`${MAX_ORDINALS} exports of ${request.instance} started in this second`);
}

/**
 * Reserves one id: that of an export that is copied.
 *
 * @returns undefined if something is there
 * @throws StoreError
 */
export async function claimExportId(store: Store, id: string, request: ClaimRequest, options: CallOptions): Promise<Claim | undefined> {
  const text = await renderClaim(request);
  const claimed = await tryToClaim(store, exportPrefix(request.instance, id), text, options);
  if (isStoreError(claimed)) throw inTheWay(claimed);
  return claimed === undefined ? undefined : { id, text, ...claimed };
}

/**
 * Claims a directory in which files of the export are already, to complete it. What else is there must be looked at after this.
 *
 * @param options.ifExists `replace`: of two that do so at once, the first notices by {@link readClaimText} before the manifest is there. For
 *   a user who may not ask whether a bucket has versions, where services were seen to ignore the condition of a write that creates only
 * @returns undefined if another run has claimed it
 * @throws StoreError
 */
export async function claimBrought(
  store: Store,
  id: string,
  request: ClaimRequest,
  options: CallOptions & { readonly ifExists?: 'replace' },
): Promise<Claim | undefined> {
  const prefix = exportPrefix(request.instance, id);
  const text = await renderClaim(request);
  const ifExists = options.ifExists ?? (store.capabilities.createOnly ? 'fail' : 'replace');
  if ((await readClaimText(store, prefix, options)) !== undefined) return undefined;
  try {
    await writeText(store, `${prefix}${CLAIM_FILE}`, text, { ...options, ifExists });
  } catch (error) {
    if (isStoreError(error, 'exists')) return undefined;
    await dropClaim(store, prefix, text);
    throw error;
  }
  return (await readClaimText(store, prefix, options)) === text ? { id, text, alone: false } : undefined;
}

/**
 * Puts a claim in the place of one of a dead run, to continue its work. If two do so at once, the first notices by {@link readClaimText}
 * before it writes its manifest.
 *
 * @param dead the text of the claim that is replaced
 * @returns undefined if that is not there any more
 * @throws StoreError `unsupported` if the store cannot replace objects
 */
export async function takeOverClaim(
  store: Store,
  id: string,
  { dead, request }: { readonly dead: string; readonly request: ClaimRequest },
  options: CallOptions,
): Promise<Claim | undefined> {
  const prefix = exportPrefix(request.instance, id);
  const text = await renderClaim(request);
  if ((await readClaimText(store, prefix, options)) !== dead) return undefined;
  await writeText(store, `${prefix}${CLAIM_FILE}`, text, { ...options, ifExists: 'replace' });
  return { id, text, alone: true };
}

/** Something other than another exporter's claim is in the way, and stays there. */
function inTheWay({ message, hint, key, cause }: StoreError): StoreError {
  return new StoreError('denied', { message, hint, key, cause });
}

/** Undefined if the id belongs to another exporter; the error if it is taken although nothing can be seen there. */
async function tryToClaim(
  store: Store,
  prefix: string,
  text: string,
  options: CallOptions,
): Promise<Pick<Claim, 'alone'> | StoreError | undefined> {
  if (!(await allowWriteOnly(store, true, () => isEmpty(store, prefix, options)))) return undefined;
  try {
    await writeText(store, `${prefix}${CLAIM_FILE}`, text, { ...options, ifExists: store.capabilities.createOnly ? 'fail' : 'replace' });
    const alone = await allowWriteOnly(store, undefined, () => isAlone(store, prefix, text, options));
    if (alone !== false) return { alone: alone === true };
    await dropClaim(store, prefix, text);
    return undefined;
  } catch (error) {
    if (isStoreError(error, 'exists'))
      return (await allowWriteOnly(store, false, () => isEmpty(store, prefix, options))) ? error : undefined;
    await dropClaim(store, prefix, text);
    throw error;
  }
}

async function isEmpty(store: Store, prefix: string, options: CallOptions): Promise<boolean> {
  for await (const _found of orNothing(store.list(prefix, options))) return false;
  return true;
}

/**
 * Looks again. Another exporter may have finished between the first look and the claim (then its own claim is gone), and in a store that
 * cannot create without replacing, it may have replaced our claim.
 */
async function isAlone(store: Store, prefix: string, text: string, options: CallOptions): Promise<boolean> {
  const key = `${prefix}${CLAIM_FILE}`;
  if ((await readClaimText(store, prefix, options)) !== text) return false;
  for await (const found of store.list(prefix, options)) if (found.key !== key) return false;
  return true;
}

/** Removes a claim if it is this one, even if the operation was cancelled. A claim that is left is found by `findUnfinished`. */
async function dropClaim(store: Store, prefix: string, text: string): Promise<void> {
  try {
    await removeClaim(store, prefix, text, { signal: AbortSignal.timeout(CLEANUP_MS) });
  } catch {
    // The error that led here is reported.
  }
}

/** Removes a claim if its text is this one: that of another run is never touched. @throws StoreError */
export async function removeClaim(store: Store, prefix: string, text: string, options: CallOptions): Promise<void> {
  if ((await readClaimText(store, prefix, options)) === text) await store.remove([`${prefix}${CLAIM_FILE}`], options);
}

/** @throws GantryError `USAGE` for one that nobody could read: packs that it is to keep would be taken for unused */
async function renderClaim(request: ClaimRequest): Promise<string> {
  const text = `${JSON.stringify(await claimRecord(request), null, 2)}\n`;
  const size = Buffer.byteLength(text);
  if (size <= MAX_CLAIM_BYTES) return text;
  throw new GantryError('USAGE', {
    message: `cannot claim an export of ${request.instance}: its claim would have ${size} bytes, and at most ${MAX_CLAIM_BYTES} can be read`,
    hint: 'It names the dumps and every export to whose packs this one may refer: make a full export, without --incremental.',
  });
}

async function claimRecord(request: ClaimRequest): Promise<ClaimRecord> {
  return {
    format: 'gantry-claim',
    version: 1,
    runId: request.runId,
    tool: request.tool,
    started: request.started.toISOString(),
    process: await thisProcess(),
    ...(request.dumps === undefined ? {} : { dumps: request.dumps }),
    ...(request.parents === undefined ? {} : { parents: request.parents }),
    ...(request.recipients === undefined ? {} : { recipients: request.recipients }),
    ...(request.copies === undefined ? {} : { copies: request.copies }),
  };
}

/** Reads a claim; undefined if there is none, or it is not valid. */
export async function readClaim(store: Store, prefix: string, options: CallOptions): Promise<ClaimRecord | undefined> {
  return parseClaim(await readClaimText(store, prefix, options));
}

/** {@link readClaim} for a text that was read already. */
export function parseClaim(text: string | undefined): ClaimRecord | undefined {
  try {
    return text === undefined ? undefined : claimSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** The text of a claim; undefined if there is none, or it is not text. */
export async function readClaimText(store: Store, prefix: string, options: CallOptions): Promise<string | undefined> {
  try {
    return await readText(store, `${prefix}${CLAIM_FILE}`, MAX_CLAIM_BYTES, options);
  } catch (error) {
    if (isStoreError(error, 'not-found') || error instanceof UnreadableTextError) return undefined;
    throw error;
  }
}

/** Whether the process that made the claim still runs. */
export async function claimOwner(claim: ClaimRecord | undefined): Promise<OwnerState> {
  return claim === undefined ? 'unknown' : ownerOf(claim.process);
}

/** For a human, such as `started 2026-11-23T08:15:00.000Z by process 4711 on host node1, which has ended`. */
export function claimText(claim: ClaimRecord | undefined, owner: OwnerState): string {
  if (claim === undefined) return 'started by an unknown process';
  const state = { alive: 'which is running', dead: 'which has ended', unknown: 'which may be running' }[owner];
  return `started ${claim.started} by process ${claim.process.pid} on host ${claim.process.host}, ${state}`;
}
