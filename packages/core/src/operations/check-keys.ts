import { AgeError } from '@gantry/age/light';
import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { missingKeys } from '../exports/added-keys.ts';
import { parseExportReference } from '../exports/export-id.ts';
import type { ExportObject } from '../exports/export-objects.ts';
import { objectsOfOthers, ownObjects } from '../exports/export-objects.ts';
import { keysFileName, keysNumber } from '../exports/layout.ts';
import { listWithManifests } from '../exports/list-exports.ts';
import type { Manifest } from '../exports/manifest.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { unsealerOf, withoutUnsealer } from '../exports/unsealing.ts';
import { startCall } from '../flow/session.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { OperationOptions } from '../report/reporter.ts';
import { sideBySide } from '../system/side-by-side.ts';

export interface CheckKeysRequest extends Pick<OperationOptions, 'signal' | 'onEvent'> {
  /** With identities, if it is to be said what they can read: `withUnsealer`. The caller disposes it. */
  readonly store: Store;
  /** `INSTANCE` or `INSTANCE@EXPORT-ID`; absent: all exports. */
  readonly export?: string | undefined;
}

/** Who can read one export. */
export interface CheckedKeys {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly sealed: boolean;
  /** As its manifest says; empty for one that was encrypted with a passphrase, or is not sealed. */
  readonly recipients: readonly string[];
  /** How many files with keys for other recipients were added to it. */
  readonly addedKeys: number;
  /** Files with keys that are missing below the highest number; absent if there are none. Copies leave out damaged ones, too. */
  readonly missingKeys?: readonly string[];
  /** Whether the identities open all of its files, and the packs that it needs; absent if there are none, and where it is not sealed. */
  readonly readable?: boolean;
  /** Files that they do not open: paths from its directory. */
  readonly closed?: readonly string[];
}

export interface CheckKeysResult {
  readonly exports: readonly CheckedKeys[];
  readonly warnings: readonly string[];
}

/** How many headers are read at once. */
const MAX_PARALLEL_READS = 8;

/**
 * Says who can read the exports of a store, and which of them these identities can read: by the headers of their files alone.
 *
 * @throws GantryError `EXPORT_NOT_FOUND`, `STORE_*`; the reason of the signal
 */
export function checkKeys(request: CheckKeysRequest): Promise<CheckKeysResult> {
  return withFirstError(() => withStoreErrors(request.store.address, () => check(request)));
}

async function check(request: CheckKeysRequest): Promise<CheckKeysResult> {
  const { store } = request;
  const { signal, reporter } = startCall('keys-check', request);
  const wanted = request.export === undefined ? undefined : parseExportReference(request.export);
  const exports: CheckedKeys[] = [];
  for await (const found of listWithManifests(withoutUnsealer(store), { instance: wanted?.instance, signal })) {
    for (const each of found) {
      if (each.kind === 'removed' || each.manifest === undefined) continue;
      const { manifest, directory, summary } = each;
      if (wanted?.id !== undefined && wanted.id !== directory.id) continue;
      const addedKeys = [...directory.files.keys()].filter((name) => keysNumber(name) > 0).length;
      const { recipients = [] } = manifest.sealed ?? {};
      const read = manifest.sealed === undefined ? {} : await readableBy(store, manifest, { signal });
      const missing = missingKeys(directory).map(keysFileName);
      exports.push({
        reference: summary.reference,
        sealed: manifest.sealed !== undefined,
        recipients,
        addedKeys,
        ...(missing.length === 0 ? {} : { missingKeys: missing }),
        ...read,
      });
    }
  }
  if (request.export !== undefined && exports.length === 0)
    throw new GantryError('EXPORT_NOT_FOUND', { message: `there is no export ${request.export} in ${store.address}` });
  return { exports, warnings: reporter.warnings };
}

async function readableBy(
  store: Store,
  manifest: Manifest,
  { signal = new AbortController().signal }: CallOptions,
): Promise<Pick<CheckedKeys, 'readable' | 'closed'>> {
  const open = unsealerOf(store)?.open;
  if (open === undefined) return {};
  const opens = async ({ key, size }: ExportObject, signal: AbortSignal): Promise<boolean> => {
    const read = async function* (offset: number, length: number): AsyncGenerator<Uint8Array, void, undefined> {
      await using body = await store.read(key, { offset, length, signal });
      yield* body;
    };
    try {
      await open({ store, key, source: { size, read } }, { signal });
      return true;
    } catch (error) {
      // What is damaged or missing cannot be read either; gantry verify says which it is.
      const isOther = error instanceof GantryError && error.code === 'IDENTITY_MISMATCH';
      if (isOther || error instanceof AgeError || isStoreError(error, 'not-found') || isStoreError(error, 'invalid-range')) return false;
      throw error;
    }
  };
  // The first file of the export says which keys were added to it, also for the packs of others.
  const own = ownObjects(manifest);
  const objects = [...own.filter(({ disk }) => disk === undefined), ...own.filter(({ disk }) => disk !== undefined)];
  const [first, ...rest] = [...objects, ...objectsOfOthers(manifest)];
  const isFirst = first === undefined || (await opens(first, signal));
  const opened = await sideBySide(rest, MAX_PARALLEL_READS, signal, opens);
  const closed = [
    ...(isFirst || first === undefined ? [] : [first.name]),
    ...rest.filter((_object, index) => opened[index] === false).map(({ name }) => name),
  ];
  return closed.length === 0 ? { readable: true } : { readable: false, closed };
}
