import { AgeError } from '@gantry/age/light';
import type { ByteSource, CallOptions, Store } from '@gantry/transport';
import { alterBody, isStoreError } from '@gantry/transport';
import { DAMAGED_DUMP_HINT } from '../frames/damage.ts';
import type { MapPacks } from '../frames/decode-map.ts';
import type { PackPlace } from '../frames/frame-map.ts';
import type { OpenPackRange } from '../frames/pack-runs.ts';
import { GantryError } from '../report/errors.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { formatExportReference } from './export-id.ts';
import { packKey } from './export-objects.ts';
import type { MapOwner } from './frame-map-text.ts';
import type { PackRecord } from './packs.ts';
import { packPath } from './packs.ts';
import { asGantryError, translatedSource } from './store-errors.ts';
import type { PassStored } from './unsealing.ts';
import { readSealed } from './unsealing.ts';

/** What of a store is needed for reading packs. */
export type PackStore = Pick<Store, 'address' | 'capabilities' | 'read' | 'list'>;

/** A disk of an export that is read by its frame map. */
export interface MappedDisk extends MapOwner {
  /** Its index in the instance. */
  readonly disk: number;
  /** Its packs are encrypted. */
  readonly isSealed?: boolean | undefined;
}

/** The packs of a disk in a store. */
export interface StoredPacks extends MapPacks {
  /** As `open`; the bytes that are read for it go through `pass` as they are stored: of an encrypted pack, all blocks in which the range is. */
  readonly openPassing: (range: PackPlace, pass: PassStored, signal: AbortSignal) => Promise<ByteSource>;
  /** A range of a pack as it is stored. */
  readonly openStored: OpenPackRange;
}

/**
 * The packs of a disk in a store, each of which is checked to have the size that the manifest says.
 *
 * @throws GantryError `STORE_UNSUPPORTED` for a store that reads only complete objects
 */
export function storedPacks(store: PackStore, disk: MappedDisk): StoredPacks {
  const what = `disk ${disk.disk} of ${formatExportReference(disk.instance, disk.exportId)}`;
  if (!store.capabilities.rangedRead) {
    throw new GantryError('STORE_UNSUPPORTED', {
      message: `cannot read ${what}: its frames are in parts of dumps, and store ${store.address} reads only complete objects`,
      hint: 'Copy the instance’s directory, and those of the exports that its frame map names, into a store that can read parts.',
      disk: disk.disk,
    });
  }
  return {
    codecs: disk.packs.map(({ codec }) => codec),
    open: (range, signal) => openPack(store, disk, range, { signal }),
    openPassing: (range, pass, signal) => openPack(store, disk, range, { signal }, pass),
    openStored: (range, signal) => openPack(store, { ...disk, isSealed: false }, range, { signal }),
    damaged: ({ index, entry }, problem) => {
      const [place] = entry.kind === 'zeros' ? [] : [entry.place];
      const where = place === undefined ? '' : `, in ${pathOf(disk, place)} at stored byte ${place.offset}`;
      const base = entry.kind === 'patch' ? `, a patch of ${pathOf(disk, entry.base)} at stored byte ${entry.base.offset}` : '';
      return new GantryError('DUMP_DAMAGED', {
        message: `${what} is damaged in frame ${index}${where}${base}: ${problem.message}`,
        hint: 'Copy that dump again, or use another export: gantry verify says whether it needs the same frame.',
        disk: disk.disk,
        cause: problem.cause ?? problem,
      });
    },
  };
}

/** Where the pack of a frame is, seen from the directory of the export. */
export function pathOf(disk: MappedDisk, { pack }: PackPlace): string {
  const record = disk.packs[pack];
  return record === undefined ? `pack ${pack}` : packPath(record, disk);
}

async function openPack(
  store: PackStore,
  disk: MappedDisk,
  { pack, offset, storedBytes }: PackPlace,
  options: CallOptions,
  pass?: PassStored,
): Promise<ByteSource> {
  const record = disk.packs[pack];
  if (record === undefined) throw new RangeError(`there is no pack ${pack}`);
  try {
    const key = packKey(record);
    const range = { ...options, offset, length: storedBytes };
    if (disk.isSealed === true) {
      const onOtherSize = (size: number): Error => packProblem(disk, record, size);
      const source = await readSealed(store, { key, size: record.size, onOtherSize, pass }, range);
      return alterBody(source, (chunks) => withPackProblems(store, disk, record, chunks));
    }
    const source = await store.read(key, range);
    if (source.objectSize === record.size) {
      const translated = translatedSource(source, store.address);
      return pass === undefined ? translated : alterBody(translated, (chunks) => pass(chunks, offset));
    }
    await source[Symbol.asyncDispose]();
    throw packProblem(disk, record, source.objectSize);
  } catch (error) {
    throw asPackProblem(store, disk, record, error);
  }
}

/** Of an encrypted pack, nothing is read before the body is. */
async function* withPackProblems(
  store: PackStore,
  disk: MappedDisk,
  record: PackRecord,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* chunks;
  } catch (error) {
    throw asPackProblem(store, disk, record, error);
  }
}

function asPackProblem(store: PackStore, disk: MappedDisk, record: PackRecord, error: unknown): unknown {
  if (isStoreError(error, 'not-found')) return packProblem(disk, record, undefined, error);
  if (isStoreError(error, 'invalid-range')) return packProblem(disk, record, 'another', error);
  if (error instanceof AgeError) return packProblem(disk, record, error);
  // Who could read the frame map can read the packs: this is another file, or its header is damaged.
  if (error instanceof GantryError && error.code === 'IDENTITY_MISMATCH' && error.cause instanceof AgeError)
    return packProblem(disk, record, error.cause);
  return asGantryError(error, store.address);
}

/**
 * The error for a pack that a disk needs.
 *
 * @param size what was found: its bytes, `another` if only that it has another size, undefined if it is missing, why it cannot be decrypted
 */
export function packProblem(
  disk: MappedDisk,
  pack: PackRecord,
  size: number | 'another' | AgeError | undefined,
  cause: unknown = size instanceof AgeError ? size : undefined,
): GantryError {
  const reference = formatExportReference(disk.instance, disk.exportId);
  const path = packPath(pack, disk);
  const isOwn = path === pack.name;
  const found =
    size === 'another'
      ? 'it has another size'
      : size instanceof AgeError
        ? `it cannot be decrypted: ${size.message}`
        : `it has ${size} bytes instead of ${pack.size}`;
  if (size === undefined) {
    return new GantryError(isOwn ? 'DUMP_MISSING' : 'PACK_MISSING', {
      message: `${reference} is incomplete: frames of disk ${disk.disk} are in ${path}, which is not in the store`,
      hint: 'Use another export, or --disk for the disks whose frames are there.',
      disk: disk.disk,
      cause,
    });
  }
  return new GantryError(isOwn ? 'DUMP_DAMAGED' : 'PACK_MISSING', {
    message: `${reference} is damaged: frames of disk ${disk.disk} are in ${path}, and ${found}`,
    hint: isOwn ? DAMAGED_DUMP_HINT : 'Use another export, or copy that dump again.',
    disk: disk.disk,
    cause,
  });
}

/** How many packs are looked for at once. */
const MAX_PARALLEL_STATS = 8;

/**
 * Looks whether every pack of a disk is there with its size.
 *
 * @throws GantryError `PACK_MISSING`, `DUMP_MISSING`, `DUMP_DAMAGED`, `STORE_*`
 */
export async function checkPacksPresent(store: Pick<Store, 'stat' | 'address'>, disk: MappedDisk, options: CallOptions): Promise<void> {
  const { signal = new AbortController().signal } = options;
  await sideBySide(disk.packs, MAX_PARALLEL_STATS, signal, async (pack, inner) => {
    const size = await sizeOfPack(store, packKey(pack), { signal: inner });
    if (size !== pack.size) throw packProblem(disk, pack, size);
  });
}

/** Bytes of a pack; undefined if it is not there. @throws GantryError `STORE_*` */
export async function sizeOfPack(store: Pick<Store, 'stat' | 'address'>, key: string, options: CallOptions): Promise<number | undefined> {
  try {
    return (await store.stat(key, options)).size;
  } catch (error) {
    if (isStoreError(error, 'not-found')) return undefined;
    throw asGantryError(error, store.address);
  }
}
