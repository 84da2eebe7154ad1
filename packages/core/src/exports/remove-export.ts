import type { CallOptions, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { ExportDirectory } from './directories.ts';
import { examine } from './examine.ts';
import { exportPrefix, GANETI_ID, parseExportReference } from './export-id.ts';
import { findExport } from './find-export.ts';
import { CONFIG_FILE, MANIFEST_FILE, SUMS_FILE } from './layout.ts';
import { withStoreErrors } from './store-errors.ts';

/**
 * Removes one export. The manifest is removed first: from then on it is not an export any more. The file that shows that there was an
 * export is removed last, so that an interrupted removal is visible, and can be finished by calling this again. Needs no space in the
 * store.
 *
 * @param reference with an id: `INSTANCE@EXPORT-ID`
 * @throws GantryError `USAGE`, `EXPORT_NOT_FOUND`, `EXPORT_INCOMPLETE` if it was never finished, `CONFIG_DAMAGED` if it is one of
 *   Ganeti's and its files are unknown, `STORE_*`
 */
export function removeExport(store: Store, reference: string, options: CallOptions = {}): Promise<void> {
  return withStoreErrors(store.address, async () => {
    if (parseExportReference(reference).id === undefined) {
      throw new GantryError('USAGE', {
        message: `${reference} does not say which export to remove`,
        hint: `Give its id: ${reference}@EXPORT-ID; gantry list shows the ids.`,
      });
    }
    const { directory } = await findExport(store, reference, options);
    const found = await examine(store, directory, options);
    if (found.state === 'unfinished') {
      throw new GantryError('EXPORT_INCOMPLETE', {
        message: `${reference} is not complete: ${found.text}`,
        hint: `gantry clean --export ${reference} removes it.`,
      });
    }
    if (directory.id === GANETI_ID && found.state === 'damaged') throw found.error;
    const prefix = exportPrefix(directory.instance, directory.id);
    const keys =
      found.state === 'ganeti' && directory.id === GANETI_ID
        ? ownKeys(
            prefix,
            found.config.disks.flatMap(({ dump }) => dump ?? []),
          )
        : await allKeys(store, prefix, options);
    const first = [`${prefix}${MANIFEST_FILE}`];
    const last = lastKey(prefix, directory);
    await store.remove(first, options);
    await store.remove(
      keys.filter((key) => !first.includes(key) && key !== last),
      options,
    );
    await store.remove([last], options);
  });
}

/** The file by which a directory is recognised as long as anything is left in it. */
function lastKey(prefix: string, { files }: ExportDirectory): string {
  return `${prefix}${files.has(SUMS_FILE) ? SUMS_FILE : CONFIG_FILE}`;
}

/** Gantry's exports of the instance are in the same directory: only what Ganeti's `config.ini` names belongs to its export. */
function ownKeys(prefix: string, dumps: readonly string[]): string[] {
  return [...dumps, CONFIG_FILE].map((name) => `${prefix}${name}`);
}

async function allKeys(store: Store, prefix: string, options: CallOptions): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix, options)) keys.push(key);
  return keys;
}
