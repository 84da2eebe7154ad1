import type { CallOptions, HostProcess, OwnerState, Store } from '@gantry/transport';
import { StoreError, isStoreError, ownerOf, thisProcess } from '@gantry/transport';
import { z } from 'zod';
import { hostProcessSchema } from '../system/process-owner.ts';
import { exportPrefix, makeExportId } from './export-id.ts';
import { CLAIM_FILE, isDumpName } from './layout.ts';
import { lookIfAllowed } from './write-only.ts';
import { readText, UnreadableTextError, writeText } from './small-object.ts';

const MAX_CLAIM_BYTES = 16 * 1024;

/** Cleaning up has a time of its own, since it must run although the operation was ended. */
const CLEANUP_MS = 30_000;

/** Far more than one host starts within a second. */
const MAX_ORDINALS = 10_000;

/** So often something that cannot be seen may keep a claim from being made: another exporter's that just went is one such. */
const MAX_UNSEEN = 3;

/** Says who is at work on an export that has no manifest yet. */
export interface ClaimRecord {
  readonly format: 'gantry-claim';
  readonly version: 1;
  readonly runId: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly process: HostProcess;
  /** The names of the dumps that it was to have: where their unfinished writes are. Absent in claims of an earlier Gantry. */
  readonly dumps?: readonly string[] | undefined;
}

const claimSchema: z.ZodType<ClaimRecord> = z.object({
  format: z.literal('gantry-claim'),
  version: z.literal(1),
  runId: z.string(),
  tool: z.object({ name: z.string(), version: z.string() }),
  started: z.iso.datetime(),
  process: hostProcessSchema,
  dumps: z.array(z.string().refine(isDumpName)).optional(),
});

export interface ClaimRequest {
  readonly instance: string;
  readonly started: Date;
  /** Unique for this run. */
  readonly runId: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** The names of the dumps to come, where they are known. */
  readonly dumps?: readonly string[] | undefined;
}

/** A claim that was made here. */
export interface Claim {
  readonly id: string;
  /** What stands in it, which is like no other. */
  readonly text: string;
  /** Whether it was seen that nothing else is there; false where this user may not look. */
  readonly alone: boolean;
}

/**
 * Takes an export id that is nobody else's, by creating its claim. Of two exporters of one instance in one second, the second
 * gets the id with `-2`. (Where the store cannot create only, both may get one at the very same moment: whoever is first finds it
 * out by {@link readClaimText} before its manifest.)
 *
 * @throws StoreError
 */
export async function claimExport(store: Store, request: ClaimRequest, options: CallOptions): Promise<Claim> {
  const text = `${JSON.stringify(await claimRecord(request), null, 2)}\n`;
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
  throw new RangeError(`${MAX_ORDINALS} exports of ${request.instance} began in this second`);
}

/** What keeps claims from being made is no other exporter, and stays. */
function inTheWay({ message, hint, key, cause }: StoreError): StoreError {
  return new StoreError('denied', { message, hint, key, cause });
}

/** Undefined where it is somebody else's; the error where it is taken although there is nothing to be seen. */
async function tryToClaim(
  store: Store,
  prefix: string,
  text: string,
  options: CallOptions,
): Promise<Pick<Claim, 'alone'> | StoreError | undefined> {
  if (!(await lookIfAllowed(store, true, () => isEmpty(store, prefix, options)))) return undefined;
  try {
    await writeText(store, `${prefix}${CLAIM_FILE}`, text, { ...options, ifExists: store.capabilities.createOnly ? 'fail' : 'replace' });
    const alone = await lookIfAllowed(store, undefined, () => isAlone(store, prefix, text, options));
    if (alone !== false) return { alone: alone === true };
    await dropClaim(store, prefix, text);
    return undefined;
  } catch (error) {
    if (isStoreError(error, 'exists'))
      return (await lookIfAllowed(store, false, () => isEmpty(store, prefix, options))) ? error : undefined;
    await dropClaim(store, prefix, text);
    throw error;
  }
}

async function isEmpty(store: Store, prefix: string, options: CallOptions): Promise<boolean> {
  try {
    for await (const _found of store.list(prefix, options)) return false;
  } catch (error) {
    // A place that is not there yet is made by the first write.
    if (!isStoreError(error, 'not-found')) throw error;
  }
  return true;
}

/**
 * Looks once more. Another exporter may have finished between the first look and the claim (and then its own claim is gone), and
 * where the store cannot create only, may have taken ours away.
 */
async function isAlone(store: Store, prefix: string, text: string, options: CallOptions): Promise<boolean> {
  const key = `${prefix}${CLAIM_FILE}`;
  if ((await readClaimText(store, prefix, options)) !== text) return false;
  for await (const found of store.list(prefix, options)) if (found.key !== key) return false;
  return true;
}

/** Takes a claim back if it is this one, also when the operation was ended meanwhile. What is left is found by `findUnfinished`. */
async function dropClaim(store: Store, prefix: string, text: string): Promise<void> {
  try {
    await removeClaim(store, prefix, text, { signal: AbortSignal.timeout(CLEANUP_MS) });
  } catch {
    // The error that brought us here says more.
  }
}

/** Removes a claim if its text is this one: that of another run is never touched. @throws StoreError */
export async function removeClaim(store: Store, prefix: string, text: string, options: CallOptions): Promise<void> {
  if ((await readClaimText(store, prefix, options)) === text) await store.remove([`${prefix}${CLAIM_FILE}`], options);
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
  };
}

/** Reads a claim; undefined where there is none, or what is there says nothing that can be used. */
export async function readClaim(store: Store, prefix: string, options: CallOptions): Promise<ClaimRecord | undefined> {
  return parseClaim(await readClaimText(store, prefix, options));
}

/** {@link readClaim} for what was read already. */
export function parseClaim(text: string | undefined): ClaimRecord | undefined {
  try {
    return text === undefined ? undefined : claimSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** What stands in a claim; undefined where there is none, or no text. */
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

/** For a human, such as `begun 2026-11-23T08:15:00.000Z by process 4711 of host node1, which is gone`. */
export function claimText(claim: ClaimRecord | undefined, owner: OwnerState): string {
  if (claim === undefined) return 'begun by whom is not known';
  const state = { alive: 'which is running', dead: 'which is gone', unknown: 'which may be running' }[owner];
  return `begun ${claim.started} by process ${claim.process.pid} of host ${claim.process.host}, ${state}`;
}
