import type { CallOptions, ObjectInfo, OwnerState, PendingInfo, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { claimOwner, claimText, readClaim } from './claim.ts';
import { placeOf, readDirectories } from './directories.ts';
import { exportPrefix, formatExportReference, GANETI_ID } from './export-id.ts';
import { CLAIM_FILE, MANIFEST_FILE } from './layout.ts';
import { withStoreErrors } from './store-errors.ts';
import { assertStoreFormat } from './store-marker.ts';

/** What an export that was never finished has left in a store. */
export interface UnfinishedExport {
  /** `INSTANCE@EXPORT-ID`; for a lone write outside of the layout, its key. */
  readonly name: string;
  /** `unknown`: it may be at work on another host. */
  readonly owner: OwnerState;
  /** Who and since when, for a human. */
  readonly text: string;
  /** Objects that are complete, but belong to no export. */
  readonly objects: readonly ObjectInfo[];
  /** Writes that were never committed. */
  readonly pending: readonly PendingInfo[];
}

interface Remains {
  objects: ObjectInfo[];
  pending: PendingInfo[];
  owner?: OwnerState;
  text?: string;
}

/**
 * Finds what exports that are not complete have in a store: those of dead runs, and those that are under way (their owner is
 * `alive`, or `unknown` from here). Of a complete export, a claim or a write that was left behind.
 *
 * @throws GantryError `STORE_*`
 */
export function findUnfinished(
  store: Store,
  options: CallOptions & { readonly instance?: string | undefined } = {},
): Promise<readonly UnfinishedExport[]> {
  const { instance, signal } = options;
  return withStoreErrors(store.address, async () => {
    await assertStoreFormat(store, { signal });
    const found = new Map<string, Remains>();
    for await (const directories of readDirectories(store, instance, { signal })) {
      for (const { instance, id, files } of directories) {
        const claimFile = id === GANETI_ID ? undefined : files.get(CLAIM_FILE);
        if (claimFile === undefined) continue;
        const claim = await readClaim(store, exportPrefix(instance, id), { signal });
        const owner = await claimOwner(claim);
        const objects = files.has(MANIFEST_FILE) ? [claimFile] : [...files.values()];
        found.set(formatExportReference(instance, id), { objects, pending: [], owner, text: claimText(claim, owner) });
      }
    }
    for await (const pending of store.pending(instance === undefined ? '' : `${instance}/`, { signal })) {
      const place = placeOf(pending.key);
      // Gantry writes nothing where Ganeti's exports are; `unknown/TOKEN` is each a write of its own.
      const name = place === undefined || place.id === GANETI_ID ? pending.key : formatExportReference(place.instance, place.id);
      const remains = found.get(name) ?? { objects: [], pending: [] };
      remains.pending.push(pending);
      found.set(name, remains);
    }
    return [...found].map(([name, remains]) => describe(name, remains));
  });
}

function describe(name: string, { objects, pending, owner, text }: Remains): UnfinishedExport {
  const owners = new Set([...(owner === undefined ? [] : [owner]), ...pending.map((write) => write.owner)]);
  const [first] = pending;
  return {
    name,
    // The claim knows best; a write that is alive is never taken for dead.
    owner: owners.has('alive') ? 'alive' : (owner ?? (owners.has('unknown') ? 'unknown' : 'dead')),
    text: text ?? `begun ${first?.started.toISOString() ?? ''} by ${first?.ownerText ?? 'nobody knows whom'}`,
    objects,
    pending,
  };
}

/**
 * Removes what {@link findUnfinished} found of one export. Objects of an export that has become complete meanwhile stay.
 *
 * @throws GantryError `BUSY` where its owner is alive, `STORE_*`
 */
export function clearUnfinished(store: Store, unfinished: UnfinishedExport, options: CallOptions = {}): Promise<void> {
  return withStoreErrors(store.address, async () => {
    if (unfinished.owner === 'alive') {
      throw new GantryError('BUSY', {
        message: `${unfinished.name} is still at work: ${unfinished.text}`,
        hint: 'Wait for it to end, or end it.',
      });
    }
    await store.clear(
      unfinished.pending.map(({ token }) => token),
      options,
    );
    const claim = unfinished.objects.find(({ key }) => placeOf(key)?.name === CLAIM_FILE);
    const place = claim === undefined ? undefined : placeOf(claim.key);
    if (place !== undefined && place.id !== GANETI_ID) await removeClaimed(store, exportPrefix(place.instance, place.id), options);
  });
}

/** Lists anew, since more may have come. The claim goes last, so that what is left stays known for what it is. */
async function removeClaimed(store: Store, prefix: string, options: CallOptions): Promise<void> {
  const claim = `${prefix}${CLAIM_FILE}`;
  const keys: string[] = [];
  for await (const { key } of store.list(prefix, options)) keys.push(key);
  if (!keys.includes(`${prefix}${MANIFEST_FILE}`)) {
    await store.remove(
      keys.filter((key) => key !== claim),
      options,
    );
  }
  await store.remove([claim], options);
}
