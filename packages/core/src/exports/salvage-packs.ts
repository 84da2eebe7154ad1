import type { CallOptions, PendingInfo, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { Codec } from '../frames/codecs/registry.ts';
import { codecNamed, CODECS } from '../frames/codecs/registry.ts';
import type { CutOffPack } from '../frames/cut-off-pack.ts';
import { readCutOffPack } from '../frames/cut-off-pack.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { placeOf } from './directories.ts';
import { exportPrefix } from './export-id.ts';
import { renderFrameMap } from './frame-map-text.ts';
import { mapFileName } from './layout.ts';
import { namesBelow } from './names-below.ts';
import type { Place } from './removed.ts';
import { asyncOf, PassedBytes } from './sealing.ts';

/** A dump or pack of a disk, as Gantry names them; not one that is encrypted. */
const PACK_NAME = /^disk(0|[1-9]\d*)\.(?:pack\.)?(?:zst|gz|img)$/;

/**
 * Makes packs of what a killed export had sent of the disks that were under way: their durable starts become objects, which are read once
 * to find the frames in them and to write their maps (docs/decisions/0190). What cannot be salvaged is left as it is, also in a full store,
 * or one that may not be read, and so is a pack that cannot be read to its end.
 *
 * @param pending the unfinished writes of the export
 * @returns false if the store was not available for a write that may be salvaged later: then nothing else was done
 * @throws StoreError for a store that cannot be listed or written any more; the reason of the signal
 */
export async function salvagePacks(
  store: Store,
  place: Place,
  pending: readonly PendingInfo[],
  options: CallOptions = {},
): Promise<boolean> {
  if (!(await salvageWrites(store, place, pending, options))) return false;
  const prefix = exportPrefix(place.instance, place.id);
  const names = await namesBelow(store, prefix, options);
  for (const name of names) {
    const pack = parsePackName(name);
    if (pack === undefined || names.has(mapFileName(pack.disk))) continue;
    try {
      await writeMap(store, place, pack, options);
    } catch (error) {
      if (!isStoreError(error, 'full') && !isStoreError(error, 'denied')) throw error;
    }
  }
  return true;
}

/** @returns false if the store was not available for one of them */
async function salvageWrites(
  store: Store,
  { instance, id }: Place,
  pending: readonly PendingInfo[],
  { signal }: CallOptions,
): Promise<boolean> {
  const largest = new Map<string, PendingInfo>();
  for (const write of pending) {
    const at = placeOf(write.key);
    const isPack = at?.instance === instance && at.id === id && parsePackName(at.name) !== undefined;
    if (isPack && write.durableBytes > (largest.get(write.key)?.durableBytes ?? 0)) largest.set(write.key, write);
  }
  for (const { key, token } of largest.values()) {
    try {
      await store.salvage?.(token, { signal, keys: [key] });
    } catch (error) {
      if (isStoreError(error, 'unavailable')) return false;
      // It is cleared then, or was committed already.
      if (!isStoreError(error)) throw error;
    }
  }
  return true;
}

interface PackName {
  readonly name: string;
  readonly disk: number;
  readonly codec: Codec;
}

function parsePackName(name: string): PackName | undefined {
  const disk = PACK_NAME.exec(name)?.[1];
  const codec = CODECS.find(({ suffix }) => name.endsWith(suffix))?.name;
  return disk === undefined || codec === undefined ? undefined : { name, disk: Number(disk), codec };
}

/** Of a pack without a frame that can be read, nothing is written. @throws StoreError for the map; the reason of the signal */
async function writeMap(store: Store, { instance, id }: Place, { name, disk, codec }: PackName, options: CallOptions): Promise<void> {
  const prefix = exportPrefix(instance, id);
  const key = `${prefix}${name}`;
  // Twice: what the network did is over then. A sector that cannot be read must not fail this export, and every later one.
  const found = (await readPack(store, key, codec, options)) ?? (await readPack(store, key, codec, options));
  if (found === undefined || found.map.plainBytes === 0 || [...found.map].every(({ kind }) => kind === 'zeros')) return;
  const packs = [{ instance, exportId: id, name, codec, size: found.size, sha256: found.sha256 }];
  await using map = await store.begin(`${prefix}${mapFileName(disk)}`, { ...options, ifExists: 'replace', digestBy: 'caller' });
  const passed = new PassedBytes();
  await map.append(passed.of(asyncOf(renderFrameMap(found.map, { instance, exportId: id, packs }))), options);
  await map.commit(passed.digest, options);
}

/** Undefined if it cannot be read to its end. */
async function readPack(store: Store, key: string, codec: Codec, options: CallOptions): Promise<CutOffPack | undefined> {
  try {
    await using source = await store.read(key, options);
    return await readCutOffPack(source, {
      codec: codecNamed(codec).frames(0),
      budget: new MemoryBudget(DEFAULT_BUDGET_BYTES),
      signal: options.signal ?? new AbortController().signal,
    });
  } catch (error) {
    if (isStoreError(error)) return undefined;
    throw error;
  }
}
