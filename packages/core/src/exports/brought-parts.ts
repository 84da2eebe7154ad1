import type { CallOptions, Store, StoreReader } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { z } from 'zod';
import { JsonBoundsError, parseBoundedJson } from './bounded-json.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { PARTS_FILE, SEALED_PART_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { readBytes, readText, UnreadableTextError } from './small-object.ts';

/*
 * The keys of exports whose packs alone came with a copy, so that recipients can be added there, too (docs/decisions/0164): the encrypted
 * parts of their manifests, in one file beside the copy that needs the packs. They are not in the directories of their own exports: there,
 * such a part says that the export was removed.
 */

/** Some thousand disks take less. */
const MAX_PART_BYTES = 1024 ** 2;
/** Of the text of all. */
const MAX_PARTS_BYTES = 16 * 1024 ** 2;
/** More exports than an increment refers to. */
const MAX_PARTS = 10_000;

/** An export whose packs another one needs. */
export interface PackOwner {
  readonly instance: string;
  readonly exportId: string;
}

/** In base64, by `INSTANCE@EXPORT-ID`. */
type Parts = Readonly<Record<string, string>>;

const schema = z.object({
  format: z.literal('gantry-brought-parts'),
  version: z.literal(1),
  parts: z.record(z.string(), z.base64().max(2 * MAX_PART_BYTES)),
});

/**
 * What is to stand beside the copy of an export: the parts of those owners of packs whose parts the target lacks; undefined if there are
 * none. A part that cannot be read, or is too large, is left out: nothing but adding recipients needs it.
 *
 * @throws StoreError
 */
export async function partsToBring(
  { source, target, manifest }: { readonly source: Store; readonly target: Store; readonly manifest: Manifest },
  owners: readonly PackOwner[],
  options: CallOptions,
): Promise<string | undefined> {
  const parts = new Map<string, string>();
  let known: Parts | undefined;
  let size = 0;
  for (const owner of owners.slice(0, MAX_PARTS)) {
    if (await isThere(target, partKey(owner), options)) continue;
    const reference = referenceOf(owner);
    const own = await orUndefined(readBytes(source, partKey(owner), MAX_PART_BYTES, options));
    known ??= own === undefined ? await readParts(source, manifest, options) : undefined;
    const part = own === undefined ? known?.[reference] : Buffer.from(own).toString('base64');
    size += part?.length ?? 0;
    if (part !== undefined && size <= MAX_PARTS_BYTES / 2) parts.set(reference, part);
  }
  if (parts.size === 0) return undefined;
  return `${JSON.stringify({ format: 'gantry-brought-parts', version: 1, parts: Object.fromEntries(parts) }, null, 2)}\n`;
}

/** The part of an owner of packs that came with the copy of an export; undefined if it did not. @throws StoreError */
export async function readBroughtPart(
  store: StoreReader,
  manifest: Manifest,
  owner: PackOwner,
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  const part = (await readParts(store, manifest, options))[referenceOf(owner)];
  return part === undefined ? undefined : Buffer.from(part, 'base64');
}

/** Empty for a file that is missing or not valid: anybody who can write to the store may have made it. @throws StoreError */
async function readParts(store: StoreReader, { instance, exportId }: Manifest, options: CallOptions): Promise<Parts> {
  const text = await orUndefined(readText(store, `${exportPrefix(instance.name, exportId)}${PARTS_FILE}`, MAX_PARTS_BYTES, options));
  if (text === undefined) return {};
  try {
    return schema.safeParse(parseBoundedJson(text, { maxValues: 2 * MAX_PARTS, maxMembers: MAX_PARTS })).data?.parts ?? {};
  } catch (error) {
    if (error instanceof JsonBoundsError) return {};
    throw error;
  }
}

async function isThere(store: StoreReader, key: string, options: CallOptions): Promise<boolean> {
  try {
    await store.stat(key, options);
    return true;
  } catch (error) {
    if (isStoreError(error, 'not-found') || isStoreError(error, 'denied')) return false;
    throw error;
  }
}

async function orUndefined<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof UnreadableTextError || isStoreError(error, 'not-found') || isStoreError(error, 'denied')) return undefined;
    throw error;
  }
}

function partKey({ instance, exportId }: PackOwner): string {
  return `${exportPrefix(instance, exportId)}${SEALED_PART_FILE}`;
}

function referenceOf({ instance, exportId }: PackOwner): string {
  return formatExportReference(instance, exportId);
}
