import type { GantryErrorCode } from '../report/errors.ts';
import type { ExportObject } from './export-objects.ts';
import { FRAMES_FILE, isMapName, SEALED_PART_FILE } from './layout.ts';

type ObjectKind = 'dump' | 'map' | 'native' | 'frames';

/** What is said of an object that is missing, or is another one. */
const FAILURES: Readonly<Record<ObjectKind, { readonly missing: GantryErrorCode; readonly damaged: GantryErrorCode }>> = {
  dump: { missing: 'DUMP_MISSING', damaged: 'DUMP_DAMAGED' },
  map: { missing: 'MAP_DAMAGED', damaged: 'MAP_DAMAGED' },
  native: { missing: 'NATIVE_DAMAGED', damaged: 'NATIVE_DAMAGED' },
  frames: { missing: 'MANIFEST_DAMAGED', damaged: 'MANIFEST_DAMAGED' },
};

export function kindOf({ name, disk }: Pick<ExportObject, 'name' | 'disk'>): ObjectKind {
  if (disk !== undefined) return isMapName(name) ? 'map' : 'dump';
  return name === FRAMES_FILE || name === SEALED_PART_FILE ? 'frames' : 'native';
}

/** The code of the error for an object that is missing, or is another one than it should be. */
export function failureOf(object: Pick<ExportObject, 'name' | 'disk'>, what: 'missing' | 'damaged'): GantryErrorCode {
  return FAILURES[kindOf(object)][what];
}
