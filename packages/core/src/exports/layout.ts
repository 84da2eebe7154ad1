import { isKeyPart } from '@gantry/transport';
import type { Codec } from '../frames/codecs/registry.ts';
import { codecNamed } from '../frames/codecs/registry.ts';

/*
 * The names in a store (docs/reference/formats/export-layout.md): INSTANCE/EXPORT-ID/FILE.
 */

/** In the root of a store: marks it as a store. */
export const STORE_MARKER_FILE = 'gantry-store.json';

export const MANIFEST_FILE = 'manifest.json';
/** The signature of the manifest, if the export was signed. */
export const SIGNATURE_FILE: string = `${MANIFEST_FILE}.sig`;
export const CONFIG_FILE = 'config.ini';
export const SUMS_FILE = 'SHA256SUMS';
/** Where each frame of each dump is. */
export const FRAMES_FILE = 'frames.table';
/** Exists from the start of an export until it has a manifest. */
export const CLAIM_FILE = 'export.claim';
/** Says that the export was removed, and that its packs are kept for as long as other exports refer to them. */
export const REMOVED_FILE = 'removed.json';

/** Beside `removed.json`: it is what is left of an export that was cut off, whose frames the next one may take over. */
export const CUT_OFF_FILE = 'cut-off.json';

/**
 * Before the objects that say when exports were verified: `INSTANCE/HOST.json`. They are a level deeper than exports, so that nothing
 * takes them for one.
 */
export const VERIFIED_PREFIX = 'gantry-verified/instances/';

/** The suffix of every file of a sealed export that is encrypted. */
export const SEALED_SUFFIX = '.age';
/** What the manifest of a sealed export does not say in the open. */
export const SEALED_PART_FILE: string = `sealed.json${SEALED_SUFFIX}`;

/** The same, beside packs that came alone, with the copy of another export that needs them. */
export const BROUGHT_PART_FILE: string = `brought.json${SEALED_SUFFIX}`;

/** What is beside packs that were brought, and is not part of the export once it is complete. */
export const BROUGHT_FILES: readonly string[] = [REMOVED_FILE, BROUGHT_PART_FILE];

const OWN_FILES: ReadonlySet<string> = new Set([
  MANIFEST_FILE,
  SIGNATURE_FILE,
  SEALED_PART_FILE,
  BROUGHT_PART_FILE,
  CONFIG_FILE,
  SUMS_FILE,
  FRAMES_FILE,
  CLAIM_FILE,
  REMOVED_FILE,
  CUT_OFF_FILE,
]);

const NATIVE_PREFIX = 'native-';
const MAP_SUFFIX = '.map';
/** Ends the name of a mark beside a pack of a removed export: nothing referred to the pack, and nothing new may. */
const UNUSED_SUFFIX = '.unused';

/** Whether a file belongs to a sealed export: then it is encrypted. */
export interface FileForm {
  readonly sealed?: unknown;
}

/** The file name of a disk's dump, such as `disk0.zst`. */
export function dumpFileName(index: number, codec: Codec, form: FileForm = {}): string {
  return sealedName(`disk${index}${codecNamed(codec).suffix}`, form);
}

/** The file name of a disk's pack, which is not complete by itself, such as `disk0.pack.zst`. */
export function packFileName(index: number, codec: Codec, form: FileForm = {}): string {
  return sealedName(`disk${index}.pack${codecNamed(codec).suffix}`, form);
}

/** The file name of the frame map of a disk. */
export function mapFileName(index: number, form: FileForm = {}): string {
  return sealedName(`disk${index}${MAP_SUFFIX}`, form);
}

/** The file name of a part of the native description: never that of a dump that Gantry writes, which begins with `disk`. */
export function nativeObjectName(name: string, form: FileForm = {}): string {
  return sealedName(`${NATIVE_PREFIX}${name}`, form);
}

function sealedName(name: string, { sealed }: FileForm): string {
  return sealed === undefined ? name : `${name}${SEALED_SUFFIX}`;
}

/** The file name of the mark of a pack. */
export function unusedMark(pack: string): string {
  return `${pack}${UNUSED_SUFFIX}`;
}

export function isUnusedMark(name: string): boolean {
  return name.endsWith(UNUSED_SUFFIX);
}

const LABELS_NAME = /^labels-([1-9]\d{0,8})\.json$/;
/** What has such a name was never a pack, with any number. */
const LIKE_LABELS = /^labels-\d+\.json$/;
/** The highest number of labels: far more often than anybody changes them. */
export const MAX_LABELS_NUMBER = 999_999_999;

/** The file name of labels that an export got later; the highest number counts. */
export function labelsFileName(number: number): string {
  return `labels-${number}.json`;
}

/** The number in the name of such a file; 0 for another one. */
export function labelsNumber(name: string): number {
  return Number(LABELS_NAME.exec(name)?.[1] ?? 0);
}

const KEYS_NAME = /^keys-([1-9]\d{0,3})\.age$/;
/** What has such a name was never a pack, with any number. */
const LIKE_KEYS = /^keys-\d+\.age$/;
/** The highest number of added keys: more often than anybody adds recipients. */
export const MAX_KEYS_NUMBER = 999;

/** The file name of keys that were added to a sealed export. They are numbered from 1. */
export function keysFileName(number: number): string {
  return `keys-${number}${SEALED_SUFFIX}`;
}

/** The number in the name of such a file; 0 for another one. */
export function keysNumber(name: string): number {
  return Number(KEYS_NAME.exec(name)?.[1] ?? 0);
}

export function isMapName(name: string): boolean {
  return name.endsWith(MAP_SUFFIX) || name.endsWith(`${MAP_SUFFIX}${SEALED_SUFFIX}`);
}

/** Whether a dump may have that name: a plain file name that is safe in every store and not used by the layout itself. */
export function isDumpName(name: string): boolean {
  return isKeyPart(name) && !OWN_FILES.has(name) && !isUnusedMark(name) && !LIKE_LABELS.test(name) && !LIKE_KEYS.test(name);
}

/** Whether other exports may refer to a file with that name: it is not known to be anything but a pack. */
export function mayBePack(name: string): boolean {
  return isDumpName(name) && !isMapName(name) && !name.startsWith(NATIVE_PREFIX);
}
