import { exportPrefix } from './export-id.ts';
import { FRAMES_FILE, mapFileName, nativeObjectName, SEALED_PART_FILE } from './layout.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import { isReadByMaps } from './manifest.ts';
import type { PackRecord } from './packs.ts';
import { packPath } from './packs.ts';

/** An object that a manifest says is there. */
export interface ExportObject {
  /** Its path from the directory of the export: a plain file name but for packs of other exports. */
  readonly name: string;
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** The disk that it belongs to, if it belongs to one. */
  readonly disk?: number;
}

/** Whether a dump is an object: a pack without frames is none. */
export function hasObject(manifest: Pick<Manifest, 'version'>, { storedBytes }: Pick<DumpRecord, 'storedBytes'>): boolean {
  return !isReadByMaps(manifest) || storedBytes > 0;
}

/** The objects in the directory of an export that its manifest names: dumps or packs, frame maps, native files, frame tables, the encrypted part of the manifest. */
export function ownObjects(manifest: Manifest): ExportObject[] {
  const { instance, exportId, dumps, native = [], frameTables, sealed } = manifest;
  const prefix = exportPrefix(instance.name, exportId);
  const object = (name: string, { size, sha256 }: Pick<ExportObject, 'size' | 'sha256'>): ExportObject => ({
    name,
    key: `${prefix}${name}`,
    size,
    sha256,
  });
  return [
    ...dumps.flatMap((dump) =>
      hasObject(manifest, dump) ? [{ ...object(dump.name, { size: dump.storedBytes, sha256: dump.sha256 }), disk: dump.index }] : [],
    ),
    ...dumps.flatMap(({ index, map }) => (map === undefined ? [] : [{ ...object(mapFileName(index, manifest), map), disk: index }])),
    ...native.map((file) => object(nativeObjectName(file.name, manifest), file)),
    ...(sealed === undefined ? [] : [object(SEALED_PART_FILE, sealed.part)]),
    ...(frameTables === undefined ? [] : [object(FRAMES_FILE, frameTables)]),
  ];
}

/** The files in which the data of the disks is: dumps and frame maps, and the packs of other exports. */
export function dataFiles(manifest: Manifest): readonly ExportObject[] {
  return [...ownObjects(manifest).filter(({ disk }) => disk !== undefined), ...objectsOfOthers(manifest)];
}

/** The packs of other exports that an export refers to, each once. */
export function packsOfOthers({ instance, exportId, dumps }: Pick<Manifest, 'instance' | 'exportId' | 'dumps'>): PackRecord[] {
  const owner = { instance: instance.name, exportId };
  const packs = new Map<string, PackRecord>();
  for (const { map } of dumps) for (const pack of map?.packs ?? []) packs.set(packPath(pack, owner), pack);
  return [...packs].filter(([path]) => path.includes('/')).map(([, pack]) => pack);
}

/** {@link packsOfOthers} as objects. */
export function objectsOfOthers(manifest: Manifest): ExportObject[] {
  const owner = { instance: manifest.instance.name, exportId: manifest.exportId };
  return packsOfOthers(manifest).map((pack) => ({ name: packPath(pack, owner), key: packKey(pack), size: pack.size, sha256: pack.sha256 }));
}

export function packKey({ instance, exportId, name }: Pick<PackRecord, 'instance' | 'exportId' | 'name'>): string {
  return `${exportPrefix(instance, exportId)}${name}`;
}
