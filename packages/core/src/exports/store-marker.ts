import { randomUUID } from 'node:crypto';
import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { z } from 'zod';
import { GantryError } from '../report/errors.ts';
import { TOOL } from '../report/version.ts';
import { placeOf } from './directories.ts';
import { CONFIG_FILE, MANIFEST_FILE, STORE_MARKER_FILE } from './layout.ts';
import { readText, UnreadableTextError, writeText } from './small-object.ts';
import { withStoreErrors } from './store-errors.ts';
import { allowWriteOnly } from './write-only.ts';

const MAX_MARKER_BYTES = 16 * 1024;

/** The store format that is written, and the newest that is read. */
export const STORE_FORMAT_VERSION = 1;

/** Marks a place as a store of exports: the object `gantry-store.json` in its root. */
export interface StoreMarker {
  readonly format: 'gantry-store';
  readonly version: typeof STORE_FORMAT_VERSION;
  /** A UUID, unique for each store. */
  readonly id: string;
  readonly tool: { readonly name: string; readonly version: string };
  /** ISO 8601, UTC. */
  readonly created: string;
}

const markerSchema: z.ZodType<StoreMarker> = z.object({
  format: z.literal('gantry-store'),
  version: z.literal(STORE_FORMAT_VERSION),
  id: z.string().min(1),
  tool: z.object({ name: z.string(), version: z.string() }),
  created: z.iso.datetime(),
});

const versionSchema = z.object({ format: z.literal('gantry-store'), version: z.number() });

/** What was found under the marker's key. */
type FoundMarker =
  | { readonly state: 'sound'; readonly marker: StoreMarker }
  | { readonly state: 'absent' | 'hidden' }
  | { readonly state: 'damaged'; readonly problem: string };

export interface InitializedStore {
  /** The store's id; undefined if this user may not read it. */
  readonly id: string | undefined;
  /** False if the place was a store already. */
  readonly created: boolean;
}

/**
 * Marks a place as a store, so that it accepts exports. A place with exports of an earlier Gantry, or of Ganeti, can be marked too; a
 * marked one stays unchanged.
 *
 * @throws GantryError `STORE_VERSION`, `STORE_FAILED` for a marker that is damaged, `STORE_*`
 */
export function initializeStore(store: Store, options: CallOptions = {}): Promise<InitializedStore> {
  return withStoreErrors(store.address, async () => {
    const found = await findMarker(store, options);
    if (found.state === 'sound') return { id: found.marker.id, created: false };
    if (found.state === 'damaged') throw damagedMarker(store, found.problem);
    return await writeMarker(store, options);
  });
}

/**
 * Makes sure that a place accepts exports: it has a marker, or already contains exports. Otherwise an export might fill the wrong file
 * system, for instance when the right one is not mounted.
 *
 * If this user may not look (credentials that only allow adding), the place counts as a store: with `create`, a marker is added unless
 * there is one.
 *
 * @param options.create makes the place a store if it is not one
 * @throws GantryError `STORE_NOT_FOUND`, `STORE_VERSION`, `STORE_FAILED` for a marker that is damaged; `STORE_*`
 */
export function requireStore(store: Store, options: CallOptions & { readonly create: boolean }): Promise<void> {
  return withStoreErrors(store.address, () => assertIsStore(store, options));
}

/** {@link requireStore} for callers that translate errors of the store themselves. @throws GantryError, StoreError */
export async function assertIsStore(store: Store, { create, signal }: CallOptions & { readonly create: boolean }): Promise<void> {
  const found = await findMarker(store, { signal });
  if (found.state === 'sound') return;
  if (found.state === 'damaged') throw damagedMarker(store, found.problem);
  const missing = await allowWriteOnly(store, create ? { why: 'it may not be read' } : undefined, () => whyNoStore(store, { signal }));
  if (missing === undefined) return;
  if (!create) throw noStore(store, missing);
  await writeMarker(store, { signal });
}

/**
 * Refuses a store whose marker was written by a later Gantry. A store without a marker, or with one that cannot be read, is accepted: a
 * damaged marker must not prevent a restore.
 *
 * @throws GantryError `STORE_VERSION`; StoreError
 */
export async function assertStoreFormat(store: Store, options: CallOptions): Promise<void> {
  await findMarker(store, options);
}

/** Whether a place has the marker of a store, and this user may read it. @throws GantryError `STORE_VERSION`; StoreError */
export async function isMarkedStore(store: Store, options: CallOptions): Promise<boolean> {
  return (await findMarker(store, options)).state === 'sound';
}

/** The id of a store; undefined where it has none, or one that cannot be read. @throws GantryError `STORE_*` */
export function storeId(store: Store, options: CallOptions = {}): Promise<string | undefined> {
  return withStoreErrors(store.address, async () => {
    const found = await findMarker(store, options);
    return found.state === 'sound' ? found.marker.id : undefined;
  });
}

async function findMarker(store: Store, options: CallOptions): Promise<FoundMarker> {
  try {
    return parseMarker(await readText(store, STORE_MARKER_FILE, MAX_MARKER_BYTES, { signal: options.signal }), store.address);
  } catch (error) {
    if (isStoreError(error, 'not-found')) return { state: 'absent' };
    if (isStoreError(error, 'denied')) return { state: 'hidden' };
    if (error instanceof UnreadableTextError) return { state: 'damaged', problem: error.message };
    throw error;
  }
}

/** @throws GantryError `STORE_VERSION` */
function parseMarker(text: string, address: string): FoundMarker {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return { state: 'damaged', problem: 'it is not JSON' };
  }
  const version = versionSchema.safeParse(document).data?.version;
  if (version !== undefined && version > STORE_FORMAT_VERSION) {
    throw new GantryError('STORE_VERSION', {
      message: `the store ${address} has format ${version}; this Gantry reads formats up to ${STORE_FORMAT_VERSION}`,
      hint: 'Use the version of Gantry that made the store, or a later one.',
    });
  }
  const marker = markerSchema.safeParse(document).data;
  return marker === undefined ? { state: 'damaged', problem: 'it does not describe a store' } : { state: 'sound', marker };
}

/** Why a place is not a store, and what its transport says can be done. */
interface Missing {
  readonly why: string;
  readonly hint?: string | undefined;
}

/** Why a place without a readable marker is not a store; undefined if it is one anyway. */
async function whyNoStore(store: Store, options: CallOptions): Promise<Missing | undefined> {
  try {
    for await (const { key } of store.list('', options)) {
      const name = placeOf(key)?.name;
      if (key === STORE_MARKER_FILE || name === MANIFEST_FILE || name === CONFIG_FILE) return undefined;
    }
    return { why: `it contains neither exports nor ${STORE_MARKER_FILE}` };
  } catch (error) {
    if (isStoreError(error, 'not-found')) return { why: error.message, hint: error.hint };
    throw error;
  }
}

/** If another process writes a marker at the same time, that one is used. */
async function writeMarker(store: Store, { signal }: CallOptions): Promise<InitializedStore> {
  const id = randomUUID();
  const marker: StoreMarker = {
    format: 'gantry-store',
    version: STORE_FORMAT_VERSION,
    id,
    tool: TOOL,
    created: new Date().toISOString(),
  };
  const ifExists = store.capabilities.createOnly ? 'fail' : 'replace';
  try {
    await writeText(store, STORE_MARKER_FILE, `${JSON.stringify(marker, null, 2)}\n`, { signal, ifExists });
    return { id, created: true };
  } catch (error) {
    if (!isStoreError(error, 'exists')) throw error;
    const found = await findMarker(store, { signal });
    if (found.state === 'damaged') throw damagedMarker(store, found.problem);
    return { id: found.state === 'sound' ? found.marker.id : undefined, created: false };
  }
}

function damagedMarker(store: Store, problem: string): GantryError {
  return new GantryError('STORE_FAILED', {
    message: `${STORE_MARKER_FILE} in ${store.address} is damaged: ${problem}`,
    hint: `Restore that file from a copy, or remove it and run gantry store init '${store.address}'.`,
  });
}

/** The transport has the better hint if the place itself is missing, such as a bucket. */
function noStore(store: Store, { why, hint = 'If a file system should be mounted there, mount it.' }: Missing): GantryError {
  return new GantryError('STORE_NOT_FOUND', {
    message: `there is no store at ${store.address}: ${why}`,
    hint: `${hint} To make a new store: gantry store init '${store.address}', or gantry export with --create-store.`,
  });
}
