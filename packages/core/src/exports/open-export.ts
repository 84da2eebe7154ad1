import type { ByteSource, CallOptions, ObjectInfo, ReadOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { DAMAGED_DUMP_HINT } from '../frames/damage.ts';
import type { Codec } from '../frames/codecs/registry.ts';
import type { FrameMap } from '../frames/frame-map.ts';
import type { FrameTable } from '../frames/frame-table.ts';
import type { NativeFile } from '../instances/inventory.ts';
import { GantryError } from '../report/errors.ts';
import type { ConfigDescription } from './config-import.ts';
import { codecOfCompression } from './config-import.ts';
import { examine, fileOf } from './examine.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import type { FoundExport } from './find-export.ts';
import { findExport } from './find-export.ts';
import { mapDamaged, readFrameMap } from './frame-maps.ts';
import type { FrameTables } from './frame-tables.ts';
import { readFrameTables } from './frame-tables.ts';
import { CONFIG_FILE, keysNumber, mapFileName } from './layout.ts';
import type { DumpRecord, Manifest, NativeRecord } from './manifest.ts';
import { isReadByMaps } from './manifest.ts';
import { readNativeFile } from './native-file.ts';
import { openWherePossible } from './open-sealed.ts';
import type { MappedDisk, StoredPacks } from './pack-sources.ts';
import { checkPacksPresent, storedPacks } from './pack-sources.ts';
import { asGantryError, translatedSource, withStoreErrors } from './store-errors.ts';

/** One dump of an export in a store. */
export interface StoredDump {
  /** The disk's index in the instance that was exported. */
  readonly index: number;
  /** The file by which it is read, a plain file name: a dump that is complete by itself, or a frame map. */
  readonly name: string;
  readonly codec: Codec;
  /** MiB of the disk that was exported, where known. */
  readonly diskSize?: number;
  /** What the manifest says of it; absent for what Ganeti made, which has no checksums. */
  readonly record?: DumpRecord;
}

/** An export that can be read. It holds nothing open. */
export interface StoredExport {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly instance: string;
  readonly id: string;
  readonly origin: 'gantry' | 'ganeti';
  /** `os` or `os+variant`, as it was exported. */
  readonly os: string;
  readonly hypervisor?: string;
  readonly started?: Date;
  /** What the user should know of it before using it, such as that it was chosen by a clock that was ahead. */
  readonly warnings: readonly string[];
  /** In the order of the disks. */
  readonly dumps: readonly StoredDump[];
  /** There just where the origin is `gantry`. */
  readonly manifest?: Manifest;
  /** The open part of the manifest as it was read; absent where it was known already. */
  readonly manifestText?: string;
  /** There just where the origin is `ganeti`. */
  readonly config?: ConfigDescription;
  /** Of a sealed export: the names of files with keys that were added to it. */
  readonly addedKeys?: readonly string[];
  /** Of a sealed export that none of the identities opens: `IDENTITY_MISMATCH`. What is sealed of its manifest is not known. */
  readonly mismatch?: GantryError;
  /** The files of the native description. */
  readonly native: readonly NativeRecord[];
  /** Whether ranges of a dump can be read. */
  readonly rangedRead: boolean;
  /**
   * The stored bytes of one dump that is complete by itself, or a range of them, by its name or its disk's index.
   * @throws GantryError `DUMP_MISSING`, `STORE_*`; the same while reading
   */
  dump(nameOrIndex: string | number, options?: ReadOptions): Promise<ByteSource>;
  /**
   * Where each frame of a dump is, by its disk's index; undefined for an export whose dumps have no frame table.
   * @throws GantryError `MANIFEST_DAMAGED` where the tables are missing or damaged, `STORE_*`
   */
  frameTable(index: number, options?: CallOptions): Promise<FrameTable | undefined>;
  /**
   * Where every frame of a disk is, and in which packs; undefined for an export without frame maps.
   * @throws GantryError `MAP_DAMAGED`, `STORE_*`
   */
  frameMap(index: number, options?: CallOptions): Promise<FrameMap | undefined>;
  /**
   * How a disk is read by its frame map; undefined for one with a dump that is complete by itself.
   * @throws GantryError `MAP_DAMAGED`, `STORE_*`; `STORE_UNSUPPORTED` for a store that reads only complete objects
   */
  mapped(index: number, options?: CallOptions): Promise<MappedRead | undefined>;
  /**
   * A file of the native description, checked.
   * @throws GantryError `NATIVE_UNKNOWN`, `NATIVE_DAMAGED`, `STORE_*`
   */
  nativeFile(name: string, options?: CallOptions): Promise<NativeFile>;
  /**
   * Looks whether every dump is there (or those of the given disks), with the size that the manifest says: of a disk that is read by its
   * frame map, the map and every pack.
   *
   * @returns of each disk, the file by which it is read
   * @throws GantryError `DUMP_MISSING`, `DUMP_DAMAGED`, `MAP_DAMAGED`, `PACK_MISSING`, `STORE_*`
   */
  checkDumpsPresent(options?: CallOptions & { readonly disks?: readonly number[] | undefined }): Promise<readonly ObjectInfo[]>;
}

/** A disk that is read by its frame map. */
export interface MappedRead {
  readonly disk: MappedDisk;
  readonly map: FrameMap;
  readonly packs: StoredPacks;
}

/**
 * Opens an export: `INSTANCE@EXPORT-ID`, or for `INSTANCE` the newest that is complete. A newest one that is damaged is an error
 * and not passed over: who wants an older one names it. A sealed export that none of the identities opens is opened as far as it can be
 * read without one: see `mismatch`.
 *
 * @throws GantryError `USAGE` for an invalid reference, `EXPORT_NOT_FOUND`, `EXPORT_INCOMPLETE`, `MANIFEST_DAMAGED`,
 *   `MANIFEST_VERSION`, `CONFIG_DAMAGED`, `CODEC_UNKNOWN`, `STORE_*`
 */
export function openExport(store: Store, reference: string, options: CallOptions = {}): Promise<StoredExport> {
  return withStoreErrors(store.address, async () => openFound(store, await findExport(store, reference, options), options));
}

/** {@link openExport} for an export that was found already. @throws as it */
export function openFound(store: Store, { directory, warnings }: FoundExport, options: CallOptions = {}): Promise<StoredExport> {
  return withStoreErrors(store.address, async () => {
    const found = await examine(store, directory, options);
    const base = {
      reference: formatExportReference(directory.instance, directory.id),
      instance: directory.instance,
      id: directory.id,
      warnings,
    };
    switch (found.state) {
      case 'gantry': {
        const { manifest, ...mismatch } = await openWherePossible(store, found.manifest, options);
        return {
          ...openKnown(store, manifest, [...warnings, ...(found.labelsProblem === undefined ? [] : [found.labelsProblem])]),
          ...mismatch,
          manifestText: found.text,
          addedKeys: [...directory.files.keys()].filter((name) => keysNumber(name) > 0),
        };
      }
      case 'ganeti':
        return { ...base, ...describeConfig(found.config), ...readers(store, base, configDumps(found.config, fileOf(base, CONFIG_FILE))) };
      case 'unfinished':
        throw new GantryError('EXPORT_INCOMPLETE', {
          message: `${base.reference} is not complete: ${found.text}`,
          hint: 'Wait for it to end, or name another export; gantry clean removes what dead runs left.',
        });
      case 'damaged':
      default:
        throw found.error;
    }
  });
}

/** An export with this manifest, which is not read again: the store may have another one by now. */
export function openKnown(store: Store, manifest: Manifest, warnings: readonly string[] = []): StoredExport {
  return openManifested(store, { manifest, byMaps: isReadByMaps(manifest) }, warnings);
}

/**
 * The same export, whose disks are read by their frame maps, also where each has a dump that is complete by itself: so its manifest binds
 * the SHA-256 of every frame. Undefined if a dump has no frame map, or the store cannot read parts.
 */
export function openByMaps(store: Store, found: StoredExport): StoredExport | undefined {
  const { manifest, warnings } = found;
  if (manifest === undefined || !store.capabilities.rangedRead || manifest.dumps.some(({ map }) => map === undefined)) return undefined;
  return isReadByMaps(manifest) ? found : { ...found, ...openManifested(store, { manifest, byMaps: true }, warnings) };
}

/** A manifest, and whether the disks are read by their frame maps, which all must have then. */
interface ManifestReading {
  readonly manifest: Manifest;
  readonly byMaps: boolean;
}

function openManifested(store: Store, reading: ManifestReading, warnings: readonly string[]): StoredExport {
  const { manifest } = reading;
  const { instance, exportId: id } = manifest;
  const base = { reference: formatExportReference(instance.name, id), instance: instance.name, id, warnings };
  return { ...base, ...describeManifest(manifest), ...readers(store, base, manifestDumps(reading), reading) };
}

function describeManifest(manifest: Manifest) {
  const { os, hypervisor } = manifest.instance;
  return { origin: 'gantry' as const, os, hypervisor, started: new Date(manifest.started), manifest };
}

function describeConfig(config: ConfigDescription) {
  const { os, hypervisor, timestamp } = config;
  return {
    origin: 'ganeti' as const,
    os,
    ...(hypervisor === undefined ? {} : { hypervisor }),
    ...(timestamp === undefined ? {} : { started: timestamp }),
    config,
  };
}

function manifestDumps({ manifest, byMaps }: ManifestReading): StoredDump[] {
  return manifest.dumps.map((record) => {
    const { index, codec, diskSize } = record;
    const name = byMaps ? mapFileName(index, manifest) : record.name;
    return { index, name, codec, ...(diskSize === undefined ? {} : { diskSize }), record };
  });
}

function configDumps({ disks, compression }: ConfigDescription, source: string): StoredDump[] {
  const codec = codecOfCompression(compression, source);
  return disks.flatMap(({ index, dump, size }) =>
    dump === undefined ? [] : [{ index, name: dump, codec, ...(size === undefined ? {} : { diskSize: size }) }],
  );
}

function readers(
  store: Store,
  { reference, instance, id }: Pick<StoredExport, 'reference' | 'instance' | 'id'>,
  unordered: readonly StoredDump[],
  { manifest, byMaps = false }: Partial<ManifestReading> = {},
): Pick<
  StoredExport,
  'dumps' | 'native' | 'rangedRead' | 'dump' | 'frameTable' | 'frameMap' | 'mapped' | 'nativeFile' | 'checkDumpsPresent'
> {
  const dumps = unordered.toSorted((a, b) => a.index - b.index);
  let tables: Promise<FrameTables> | undefined;
  const keyOf = ({ name }: StoredDump): string => `${exportPrefix(instance, id)}${name}`;
  const native = manifest?.native ?? [];
  const mappedDisk = (index: number): MappedDisk | undefined => {
    const packs = dumps.find((dump) => dump.index === index)?.record?.map?.packs;
    if (manifest === undefined || !byMaps || packs === undefined) return undefined;
    return { instance, exportId: id, disk: index, packs, isSealed: manifest.sealed !== undefined };
  };
  return {
    dumps,
    native,
    rangedRead: store.capabilities.rangedRead,
    async dump(nameOrIndex, options) {
      const dump = dumps.find(({ name, index }) => name === nameOrIndex || index === nameOrIndex);
      if (dump === undefined) {
        throw new GantryError('DUMP_MISSING', {
          message: `${reference} has no dump ${typeof nameOrIndex === 'number' ? `of disk ${nameOrIndex}` : nameOrIndex}`,
        });
      }
      if (mappedDisk(dump.index) !== undefined) throw notComplete(reference, dump);
      return orMissing(store, reference, dump, async () => translatedSource(await store.read(keyOf(dump), options), store.address));
    },
    async frameTable(index, options = {}) {
      if (manifest === undefined) return undefined;
      // Read once for all disks; after a failure, anew.
      tables ??= readFrameTables(store, manifest, options);
      tables.catch(() => (tables = undefined));
      return (await tables).get(index);
    },
    async frameMap(index, options = {}) {
      const record = dumps.find((dump) => dump.index === index)?.record;
      return manifest === undefined || record === undefined ? undefined : await readFrameMap(store, manifest, record, options);
    },
    async mapped(index, options = {}) {
      const disk = mappedDisk(index);
      const map = disk && (await this.frameMap(index, options));
      return disk === undefined || map === undefined ? undefined : { disk, map, packs: storedPacks(store, disk) };
    },
    nativeFile: async (name, options = {}) =>
      await readNativeFile(store, { reference, prefix: exportPrefix(instance, id), native, sealed: manifest?.sealed }, name, options),
    async checkDumpsPresent({ disks, signal } = {}) {
      const found: ObjectInfo[] = [];
      for (const dump of dumps.filter(({ index }) => disks?.includes(index) ?? true)) {
        const disk = mappedDisk(dump.index);
        const looking = store.stat(keyOf(dump), { signal });
        found.push(await (disk === undefined ? presentDump : presentMap)(store, reference, dump, looking));
        if (disk !== undefined) await checkPacksPresent(store, disk, { signal });
      }
      return found;
    },
  };
}

/** Its own dump has only some of its frames. */
function notComplete(reference: string, { index, name }: StoredDump): GantryError {
  return new GantryError('DUMP_MISSING', {
    message: `${reference} has no dump of disk ${index} that is complete by itself: ${name} says where its frames are`,
    disk: index,
  });
}

async function orMissing<T>(store: Store, reference: string, dump: StoredDump, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isStoreError(error, 'not-found')) throw asGantryError(error, store.address);
    throw dumpMissing(reference, dump, error);
  }
}

/** What is said of a dump that the export names but the store does not have. */
export function dumpMissing(reference: string, { name, index }: Pick<StoredDump, 'name' | 'index'>, cause?: unknown): GantryError {
  return new GantryError('DUMP_MISSING', {
    message: `${reference} is incomplete: its dump ${name} is not in the store`,
    hint: 'Use another export, or --disk for the disks whose dumps are there.',
    disk: index,
    cause,
  });
}

/** Waits until a frame map was looked for. @throws GantryError `MAP_DAMAGED`, `STORE_*` */
async function presentMap(
  store: Store,
  reference: string,
  { name, index, record }: StoredDump,
  looking: Promise<ObjectInfo>,
): Promise<ObjectInfo> {
  const file = `${name} of ${reference}`;
  try {
    const info = await looking;
    if (info.size === record?.map?.size) return info;
    throw mapDamaged(file, `it has ${info.size} bytes instead of ${record?.map?.size}`, index);
  } catch (error) {
    throw isStoreError(error, 'not-found') ? mapDamaged(file, 'it is missing', index, error) : asGantryError(error, store.address);
  }
}

/** Waits until a dump was looked for. @throws GantryError `DUMP_MISSING`, `DUMP_DAMAGED`, `STORE_*` */
async function presentDump(store: Store, reference: string, dump: StoredDump, looking: Promise<ObjectInfo>): Promise<ObjectInfo> {
  const info = await orMissing(store, reference, dump, () => looking);
  const problem = sizeProblem(dump.record, info.size);
  if (problem === undefined) return info;
  throw new GantryError('DUMP_DAMAGED', {
    message: `${dump.name} of ${reference} is damaged: ${problem}`,
    hint: DAMAGED_DUMP_HINT,
    disk: dump.index,
  });
}

/** What the size of a dump in the store says against it. */
export function sizeProblem(record: DumpRecord | undefined, size: number): string | undefined {
  if (record === undefined || size === record.storedBytes) return undefined;
  const what = size < record.storedBytes ? 'truncated' : 'extra bytes at its end';
  return `${what}: it has ${size} bytes instead of ${record.storedBytes}`;
}
