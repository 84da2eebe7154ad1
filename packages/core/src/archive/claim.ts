import { hostname } from 'node:os';
import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { z } from 'zod';
import { identifyProcess, isRunning } from '../state/process-identity.ts';
import { exportPrefix, makeExportId } from './export-id.ts';
import { CLAIM_FILE } from './layout.ts';
import { readText, UnreadableTextError, writeText } from './small-object.ts';

/** Bytes. */
const LARGEST_CLAIM = 16 * 1024;

/** Cleaning up has a time of its own, since it must run although the operation was ended. */
const CLEANUP_MS = 30_000;

/** Far more than one host starts within a second. */
const MOST_ORDINALS = 10_000;

/** Who holds a claim: `alive` and `dead` where its process was of this host, else `unknown`. */
export type ClaimOwner = 'alive' | 'dead' | 'unknown';

/** Says who is at work on an export that has no manifest (yet, or any more). */
export interface ClaimRecord {
  readonly format: 'gantry-claim';
  readonly version: 1;
  readonly purpose: 'export' | 'remove';
  readonly runId: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly host: string;
  readonly process: { readonly pid: number; readonly startTime: number; readonly bootId: string };
}

const claimSchema: z.ZodType<ClaimRecord> = z.object({
  format: z.literal('gantry-claim'),
  version: z.literal(1),
  purpose: z.enum(['export', 'remove']),
  runId: z.string(),
  tool: z.object({ name: z.string(), version: z.string() }),
  started: z.iso.datetime(),
  host: z.string(),
  process: z.object({ pid: z.int().min(1), startTime: z.int(), bootId: z.string() }),
});

export interface ClaimRequest {
  readonly instance: string;
  readonly started: Date;
  /** Unique for this run. */
  readonly runId: string;
  readonly tool: { readonly name: string; readonly version: string };
}

/**
 * Takes an export id that is nobody else's, by creating its claim. Of two exporters of one instance in one second, the second
 * gets the id with `-2`.
 *
 * @throws StoreError
 */
export async function claimExport(store: Store, request: ClaimRequest, options: CallOptions): Promise<string> {
  const text = `${JSON.stringify(await claimRecord('export', request), null, 2)}\n`;
  for (let ordinal = 1; ordinal <= MOST_ORDINALS; ordinal += 1) {
    const id = makeExportId(request.started, ordinal);
    if (await tryToClaim(store, exportPrefix(request.instance, id), text, options)) return id;
  }
  throw new RangeError(`${MOST_ORDINALS} exports of ${request.instance} began in this second`);
}

async function tryToClaim(store: Store, prefix: string, text: string, options: CallOptions): Promise<boolean> {
  if (!(await isEmpty(store, prefix, options))) return false;
  try {
    await writeText(store, `${prefix}${CLAIM_FILE}`, text, { ...options, ifExists: store.capabilities.createOnly ? 'fail' : 'replace' });
    if (await isAlone(store, prefix, text, options)) return true;
    await dropClaim(store, prefix, text);
    return false;
  } catch (error) {
    if (isStoreError(error, 'exists')) return false;
    await dropClaim(store, prefix, text);
    throw error;
  }
}

async function isEmpty(store: Store, prefix: string, options: CallOptions): Promise<boolean> {
  for await (const _found of store.list(prefix, options)) return false;
  return true;
}

/**
 * Looks once more. Another exporter may have finished between the first look and the claim (and then its own claim is gone), and
 * where the store cannot create only, may have taken ours away.
 */
async function isAlone(store: Store, prefix: string, text: string, options: CallOptions): Promise<boolean> {
  const key = `${prefix}${CLAIM_FILE}`;
  if ((await readText(store, key, LARGEST_CLAIM, options)) !== text) return false;
  for await (const found of store.list(prefix, options)) if (found.key !== key) return false;
  return true;
}

/** Takes a claim back if it is this one, also when the operation was ended meanwhile. What is left is found by `findUnfinished`. */
async function dropClaim(store: Store, prefix: string, text: string): Promise<void> {
  const options = { signal: AbortSignal.timeout(CLEANUP_MS) };
  const key = `${prefix}${CLAIM_FILE}`;
  try {
    if ((await readText(store, key, LARGEST_CLAIM, options)) === text) await store.remove([key], options);
  } catch {
    // The error that brought us here says more.
  }
}

/** Marks an export as being removed, over whatever claim there is. */
export async function claimRemoval(
  store: Store,
  prefix: string,
  request: Omit<ClaimRequest, 'instance'>,
  options: CallOptions,
): Promise<void> {
  const text = `${JSON.stringify(await claimRecord('remove', request), null, 2)}\n`;
  await writeText(store, `${prefix}${CLAIM_FILE}`, text, { ...options, ifExists: 'replace' });
}

async function claimRecord(purpose: ClaimRecord['purpose'], request: Omit<ClaimRequest, 'instance'>): Promise<ClaimRecord> {
  const { startTime = 0, bootId = '' } = (await identifyProcess(process.pid)) ?? {};
  return {
    format: 'gantry-claim',
    version: 1,
    purpose,
    runId: request.runId,
    tool: request.tool,
    started: request.started.toISOString(),
    host: hostname(),
    process: { pid: process.pid, startTime, bootId },
  };
}

/** Reads a claim; undefined where there is none, or what is there says nothing that can be used. */
export async function readClaim(store: Store, prefix: string, options: CallOptions): Promise<ClaimRecord | undefined> {
  try {
    const parsed = claimSchema.safeParse(JSON.parse(await readText(store, `${prefix}${CLAIM_FILE}`, LARGEST_CLAIM, options)));
    return parsed.data;
  } catch (error) {
    if (isStoreError(error, 'not-found') || error instanceof SyntaxError || error instanceof UnreadableTextError) return undefined;
    throw error;
  }
}

/** Whether the process that made the claim still runs. */
export async function claimOwner(claim: ClaimRecord | undefined): Promise<ClaimOwner> {
  if (claim === undefined || claim.host !== hostname()) return 'unknown';
  return (await isRunning(claim.process)) ? 'alive' : 'dead';
}

/** For a human, such as `exported by host node1, process 4711, since 2026-11-23T08:15:00.000Z`. */
export function claimText(claim: ClaimRecord | undefined, owner: ClaimOwner): string {
  if (claim === undefined) return 'by whom is not known';
  const state = { alive: 'which is running', dead: 'which is gone', unknown: 'which may be running' }[owner];
  const what = claim.purpose === 'export' ? 'being exported' : 'being removed';
  return `${what} by host ${claim.host}, process ${claim.process.pid}, ${state}, since ${claim.started}`;
}
