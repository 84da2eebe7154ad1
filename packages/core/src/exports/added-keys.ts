import type { Identities, Recipients } from '@gantry/age';
import { AgeError } from '@gantry/age/light';
import type { CallOptions, Store, StoreReader } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { ExportDirectory } from './directories.ts';
import { largest } from '../system/largest.ts';
import { readDirectory } from './directories.ts';
import { exportPrefix, formatExportReference, isReferencePart } from './export-id.ts';
import { keysFileName, keysNumber, MANIFEST_FILE, MAX_KEYS_NUMBER } from './layout.ts';
import { loadAge } from './load-age.ts';
import type { Manifest } from './manifest.ts';
import { readBytes, readText, UnreadableTextError, writeText } from './small-object.ts';
import type { ObjectReader } from './unsealing.ts';

/*
 * Keys that were added to a sealed export (docs/decisions/0155): `keys-1.age`, `keys-2.age` and so on, each for recipients that it did not
 * have. In each are the keys of the export and of all exports whose packs it needs, as a file of identities for `age -i`.
 */

/** More than all keys of a lineage take. */
const MAX_KEYS_BYTES = 4 * 1024 ** 2;

/** The key that reads all files of one export. */
export interface ExportKey {
  readonly instance: string;
  readonly exportId: string;
  /** An identity of age. */
  readonly key: string;
}

/** The text of a file with keys, encrypted, in ASCII armor. */
export async function sealKeys(keys: readonly ExportKey[], recipients: Recipients): Promise<string> {
  const lines = keys.flatMap(({ instance, exportId, key }) => [`# ${formatExportReference(instance, exportId)}`, key]);
  const file = await recipients.startFile();
  const { inArmor } = await loadAge();
  return inArmor(await file.encryptBytes(Buffer.from(`${lines.join('\n')}\n`)));
}

/**
 * The keys that were added to an export, in the first file that these identities open, by the prefix of the exports that they are for;
 * empty if there is none.
 *
 * @param prefix of the directory of the export
 * @throws StoreError
 */
export async function readAddedKeys(
  store: ObjectReader,
  prefix: string,
  identities: Identities,
  options: CallOptions,
): Promise<ReadonlyMap<string, Identities>> {
  const keysIn = async (number: number): Promise<ReadonlyMap<string, Identities> | undefined> => {
    const bytes = await readIfThere(store, `${prefix}${keysFileName(number)}`, options);
    return bytes === undefined ? undefined : ((await openKeys(bytes, identities)) ?? new Map());
  };
  let number = 1;
  for (; number <= MAX_KEYS_NUMBER; number += 1) {
    const keys = await keysIn(number);
    if (keys === undefined) break;
    if (keys.size > 0) return keys;
  }
  // Somebody may have removed one of several.
  for (const later of await numbersAfter(store, prefix, number, options)) {
    const keys = await keysIn(later);
    if (keys !== undefined && keys.size > 0) return keys;
  }
  return new Map();
}

/**
 * Writes keys beside a complete export, under the next number.
 *
 * @returns the name of the file
 * @throws GantryError `EXPORT_NOT_FOUND` if it was removed; `USAGE` if no number is left; StoreError
 */
export async function writeKeys(store: Store, { instance, exportId: id }: Manifest, text: string, options: CallOptions): Promise<string> {
  const place = { instance: instance.name, id };
  const reference = formatExportReference(place.instance, id);
  for (;;) {
    const { files } = await readDirectory(store, place, options);
    if (!files.has(MANIFEST_FILE)) throw new GantryError('EXPORT_NOT_FOUND', { message: `${reference} was removed meanwhile` });
    const number = largest(files.keys().map(keysNumber), 0) + 1;
    if (number > MAX_KEYS_NUMBER)
      throw new GantryError('USAGE', {
        message: `${reference} has ${MAX_KEYS_NUMBER} files with keys`,
        hint: 'Make a full export with all recipients.',
      });
    const file = keysFileName(number);
    const key = `${exportPrefix(place.instance, id)}${file}`;
    try {
      const ifExists = store.capabilities.createOnly ? 'fail' : 'replace';
      await writeText(store, key, text, { ...options, ifExists });
      // Where nothing keeps two hosts from the same name, the last one has it, and the other takes the next number.
      if (ifExists === 'fail' || (await readKeysText(store, key, options)) === text) return file;
    } catch (error) {
      // Somebody else added some at the same time.
      if (!isStoreError(error, 'exists')) throw error;
    }
  }
}

/** The numbers of the files that are there behind a gap; none where the store may not be listed. @throws StoreError */
async function numbersAfter(store: ObjectReader, prefix: string, gap: number, options: CallOptions): Promise<readonly number[]> {
  const numbers: number[] = [];
  try {
    for await (const { key } of store.list(prefix, options)) {
      const number = keysNumber(key.slice(prefix.length));
      if (number > gap && number <= MAX_KEYS_NUMBER) numbers.push(number);
    }
  } catch (error) {
    if (isStoreError(error, 'denied') || isStoreError(error, 'not-found')) return [];
    throw error;
  }
  return numbers.toSorted((a, b) => a - b);
}

/** All files with keys of one export: far more than anybody has. */
export const MAX_ALL_KEYS_BYTES: number = 64 * 1024 ** 2;

/** A file with keys that is to be copied, or said to be left out. */
interface CopiedKeys {
  readonly name: string;
  readonly key: string;
  /** Absent for what is not to be copied: it is damaged, too large, or gone. */
  readonly text?: string;
  /** It is not to be copied because of {@link MAX_ALL_KEYS_BYTES}. */
  readonly isOverLimit?: true;
}

/**
 * The files with keys beside an export, in the order of their numbers: what anybody has put there must not end a copy, nor fill its target.
 *
 * @throws StoreError
 */
export async function* keysToCopy(
  store: StoreReader,
  { instance, id, files }: ExportDirectory,
  options: CallOptions,
): AsyncGenerator<CopiedKeys, void, undefined> {
  const names = [...files.keys()].filter((name) => keysNumber(name) > 0).toSorted((a, b) => keysNumber(a) - keysNumber(b));
  let bytes = 0;
  for (const name of names) {
    const key = `${exportPrefix(instance, id)}${name}`;
    const text = bytes > MAX_ALL_KEYS_BYTES ? undefined : await readKeysText(store, key, options);
    bytes += text === undefined ? 0 : Buffer.byteLength(text);
    if (bytes > MAX_ALL_KEYS_BYTES) yield { name, key, isOverLimit: true };
    else yield text === undefined ? { name, key } : { name, key, text };
  }
}

/** The numbers that are missing below the highest one of the files with keys. */
export function missingKeys({ files }: Pick<ExportDirectory, 'files'>): readonly number[] {
  const numbers = [...files.keys()].map(keysNumber);
  const highest = Math.min(MAX_KEYS_NUMBER, largest(numbers, 0));
  return Array.from({ length: highest }, (_, index) => index + 1).filter((number) => !numbers.includes(number));
}

/** What is said of files with keys that a copy leaves out. */
export function keysNotCopied({ key, isOverLimit }: Omit<CopiedKeys, 'name'>): string {
  const limit = MAX_ALL_KEYS_BYTES / 1024 ** 2;
  const why = isOverLimit === true ? `copies take at most ${limit} MiB of keys of one export` : 'it is damaged, too large, or gone';
  return `${key} is not copied: ${why}`;
}

/** A file with keys as `sealKeys` writes it; undefined for one that is damaged, too large, or gone. @throws StoreError */
async function readKeysText(store: StoreReader, key: string, options: CallOptions): Promise<string | undefined> {
  try {
    return await readText(store, key, MAX_KEYS_BYTES, options);
  } catch (error) {
    if (error instanceof UnreadableTextError || isStoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function readIfThere(store: ObjectReader, key: string, options: CallOptions): Promise<Uint8Array | undefined> {
  try {
    return await readBytes(store, key, MAX_KEYS_BYTES, options);
  } catch (error) {
    // Nobody writes one that is too large but to prevent something; the next one may be good.
    if (error instanceof UnreadableTextError) return new Uint8Array();
    // A bucket that may not be listed denies what is not there.
    if (isStoreError(error, 'not-found') || isStoreError(error, 'denied')) return undefined;
    throw error;
  }
}

/** Undefined for a file that is damaged, or for others. */
async function openKeys(stored: Uint8Array, identities: Identities): Promise<ReadonlyMap<string, Identities> | undefined> {
  const { Identities, withoutArmor } = await loadAge();
  try {
    return parseKeys((await identities.openBytes(withoutArmor(stored))).toString('utf8'), (key) => Identities.parse(key));
  } catch (error) {
    if (error instanceof AgeError) return undefined;
    throw error;
  }
}

/** @throws AgeError `invalid-identity` */
function parseKeys(text: string, parse: (key: string) => Identities): ReadonlyMap<string, Identities> {
  const keys = new Map<string, Identities>();
  let prefix: string | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('# ')) prefix = prefixOf(line.slice(2));
    else if (line !== '' && prefix !== undefined) keys.set(prefix, parse(line));
  }
  return keys;
}

function prefixOf(reference: string): string | undefined {
  const [instance = '', id = '', ...more] = reference.split('@');
  return more.length === 0 && isReferencePart(instance) && isReferencePart(id) ? exportPrefix(instance, id) : undefined;
}
