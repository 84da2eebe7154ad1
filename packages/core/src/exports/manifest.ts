import type { Digest } from '@gantry/transport';
import { z } from 'zod';
import { CODEC_NAMES, isCodec } from '../frames/codecs/registry.ts';
import type { DumpSummary } from '../frames/types.ts';
import { GantryError } from '../report/errors.ts';
import type { Instance } from '../instances/model.ts';
import { JsonBoundsError, parseBoundedJson } from './bounded-json.ts';
import type { FrameCut } from './frame-cuts.ts';
import { manifestSchema } from './manifest-schema.ts';
import type { PackRecord } from './packs.ts';

/**
 * The version of the manifest of an export whose dumps are complete by themselves. Version 1, which has no frame tables, is still read.
 */
export const MANIFEST_VERSION = 2;

/** The version of the manifest of an export that can be read only by its frame maps: some frames are in dumps of others, or vary in size. */
export const LINEAGE_MANIFEST_VERSION = 3;

/**
 * The version of the manifest of a sealed export: it says in the open what is needed to list, check, copy and remove the export, and the
 * rest in an encrypted file beside it. Sizes and digests are those of the encrypted files. Its disks are read by their frame maps.
 */
export const SEALED_MANIFEST_VERSION = 4;

/** Those that are read. */
export const MANIFEST_VERSIONS: readonly number[] = [1, MANIFEST_VERSION, LINEAGE_MANIFEST_VERSION, SEALED_MANIFEST_VERSION];

/** In version 1, the frame checksums of an uncompressed dump of 32 TiB take 48 MiB. */
export const MAX_MANIFEST_BYTES: number = 64 * 1024 ** 2;

/** What 1000 dumps have with all their messages, or a few with thousands of packs. */
const MAX_VALUES = 400_000;
/** More than an instance file may have of anything. */
const MAX_MEMBERS = 10_000;

/** The frame map of one disk, as the manifest says it: the size and the SHA-256 of its text. */
export interface MapRecord extends Digest {
  readonly cut: FrameCut;
  /** Every dump in which frames of this disk are, in the order of their numbers in the map. */
  readonly packs: readonly PackRecord[];
}

/**
 * One dump of an export, as the manifest says it. In version 3, `name`, `codec`, `level`, `frames`, `storedBytes` and `sha256` are those
 * of the export's own pack, which does not exist if `storedBytes` is 0; `plainBytes` are those of the disk, and `frameSize` is the most
 * plain bytes that a frame can have.
 */
export interface DumpRecord extends DumpSummary {
  /** The disk's index in the instance, from 0. */
  readonly index: number;
  /** The file name beside the manifest. */
  readonly name: string;
  /** MiB of the disk that was exported, where known. */
  readonly diskSize?: number;
  /** Plain bytes that the script said would come, where it did: never checked. */
  readonly expectedBytes?: number;
  /** The last lines that the script wrote for the user. */
  readonly messages: readonly string[];
  /**
   * In version 1, of a dump that is not compressed: the CRC-32 of each frame, 4 bytes each, big-endian, in base64. From version 2 on
   * they are in the frame table.
   */
  readonly frameCrc32?: string;
  /** Where every frame of the disk is. In version 3 there always; in version 2 if later exports can refer to this one without reading it. */
  readonly map?: MapRecord;
  /** How the disk was held still: `reflink`, `qemu`, `command`, `drbd`, `lvm`, `rbd`, `none`. */
  readonly snapshot: string;
}

/** How an export is encrypted, as the manifest says it. */
export interface SealedRecord {
  /** Recipients of age who can read it, such as `age1…`; empty if it was encrypted with a passphrase. */
  readonly recipients: readonly string[];
  /** Size and SHA-256 of the encrypted part of the manifest, as it is stored. */
  readonly part: Digest;
}

/** One file of the native description, as the manifest says it. */
export interface NativeRecord extends Digest {
  /** As its inventory calls it; its object is called `native-` and this. */
  readonly name: string;
  /** Whether it holds what must stay private. Then it is in an export only because it was asked for. */
  readonly secret: boolean;
}

/**
 * What an export says of itself: `manifest.json`, written last. Times are ISO 8601 in UTC. (A type, not an interface: so it is a
 * `JsonDocument`, as sinks take it.)
 */
export type Manifest = {
  readonly format: 'gantry-export';
  readonly version: 1 | typeof MANIFEST_VERSION | typeof LINEAGE_MANIFEST_VERSION | typeof SEALED_MANIFEST_VERSION;
  readonly tool: { readonly name: string; readonly version: string };
  readonly exportId: string;
  readonly started: string;
  readonly ended: string;
  /** When it was put together from another export, of which `started` and `ended` are. */
  readonly consolidated?: string;
  readonly os: { readonly name: string; readonly variant?: string; readonly apiVersion: number };
  /** Without private OS parameters unless they were asked for: see {@link describeInstance}. */
  readonly instance: Instance;
  /** Size and SHA-256 of `frames.table`; in version 2. */
  readonly frameTables?: Digest;
  /** What the source of the instance said of it in its own form; absent where it said nothing. */
  readonly native?: readonly NativeRecord[];
  /** What the user called it by, for retention. */
  readonly tags?: readonly string[];
  /** What the user says of it. */
  readonly note?: string;
  /** How many exports of its lineage were made since the last that refers to no other: 1 for the first after it. In version 3. */
  readonly sinceFull?: number;
  /**
   * In version 4. `os` and `instance` then have only what may be said in the open (the instance's name, and how many disks it has), and
   * the dumps no messages; see `openManifest` for the rest.
   */
  readonly sealed?: SealedRecord;
  /** In the order of the disks. Not every disk of the instance needs to have one. */
  readonly dumps: readonly DumpRecord[];
};

/** A manifest that makes its export visible. */
export interface CommittedManifest {
  /** As it is read in the open. */
  readonly manifest: Manifest;
  /** Of its text as it was written. */
  readonly sha256: string;
}

/** Whether the disks of an export are read by their frame maps, which all have then. */
export function isReadByMaps({ version }: Pick<Manifest, 'version'>): boolean {
  return version === LINEAGE_MANIFEST_VERSION || version === SEALED_MANIFEST_VERSION;
}

/** The instance as a manifest may hold it. */
export function describeInstance(instance: Instance, options: { readonly includePrivate: boolean }): Instance {
  return options.includePrivate ? instance : { ...instance, osparams_private: {} };
}

export function renderManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/**
 * The text of a manifest that is to be written, and what a reader makes of it: one that nobody could read must not become visible.
 *
 * @param source what to call it in messages
 * @throws GantryError as {@link parseManifest}, and `MANIFEST_DAMAGED` for a text that is too long to be read
 */
export function renderChecked(manifest: Manifest, source: string): { readonly manifest: Manifest; readonly text: string } {
  const text = renderManifest(manifest);
  const size = Buffer.byteLength(text);
  if (size > MAX_MANIFEST_BYTES) throw damaged(source, [`it has ${size} bytes; at most ${MAX_MANIFEST_BYTES} are allowed`]);
  return { manifest: parseManifest(text, source), text };
}

/**
 * Checks a manifest that came as text. Fields that this version does not know are passed over, so that later ones can add some;
 * what changes the meaning of others gets a new version.
 *
 * @param source what to call it in messages, such as `manifest.json of web1@20261123T081500Z`
 * @throws GantryError `MANIFEST_DAMAGED`, `MANIFEST_VERSION`, `CODEC_UNKNOWN`
 */
export function parseManifest(text: string, source: string): Manifest {
  try {
    return checkManifest(parseBoundedJson(text, { maxValues: MAX_VALUES, maxMembers: MAX_MEMBERS }), source);
  } catch (error) {
    throw error instanceof JsonBoundsError ? damaged(source, [error.message], error) : error;
  }
}

/** {@link parseManifest} for a document that was parsed already. */
export function checkManifest(document: unknown, source: string): Manifest {
  assertVersion(document, source);
  assertCounts(document, source);
  assertCodecs(document, source);
  const parsed = manifestSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  throw damaged(
    source,
    parsed.error.issues.map(({ path, message }) => `${path.map(String).join('.') || 'it'}: ${message}`),
  );
}

const versionSchema = z.object({ format: z.literal('gantry-export'), version: z.number() });

function assertVersion(document: unknown, source: string): void {
  const versioned = versionSchema.safeParse(document).data;
  if (versioned === undefined) throw damaged(source, ['it does not say "format": "gantry-export" and a version']);
  if (MANIFEST_VERSIONS.includes(versioned.version)) return;
  throw new GantryError('MANIFEST_VERSION', {
    message: `${source} has version ${versioned.version}; this Gantry reads versions ${MANIFEST_VERSIONS.slice(0, -1).join(', ')} and ${MANIFEST_VERSIONS.at(-1)}`,
    hint: 'Use the version of Gantry that made it, or a later one. zstd -dc and gzip -dc read its dumps without any.',
  });
}

/** The most dumps, disks and NICs; indexes of disks have at most three digits. */
const MAX_DEVICES = 1000;

const countsSchema = z.looseObject({
  dumps: z.array(z.unknown()).optional(),
  native: z.array(z.unknown()).optional(),
  instance: z.looseObject({ disks: z.array(z.unknown()).optional(), nics: z.array(z.unknown()).optional() }).optional(),
});

/** Before each of them is looked at: what is wrong with one takes more time and memory than the text of it. */
function assertCounts(document: unknown, source: string): void {
  // What is not even a list, the schema says.
  const { dumps, native, instance } = countsSchema.safeParse(document).data ?? {};
  for (const [name, list] of [
    ['dumps', dumps],
    ['native', native],
    ['instance.disks', instance?.disks],
    ['instance.nics', instance?.nics],
  ] as const)
    if (list !== undefined && list.length > MAX_DEVICES)
      throw damaged(source, [`${name}: has ${list.length} items; at most ${MAX_DEVICES} are allowed`]);
}

const codecsSchema = z.looseObject({ dumps: z.array(z.looseObject({ codec: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/) })) });

/** A name that could be that of a codec is one of a later version, not damage. */
function assertCodecs(document: unknown, source: string): void {
  const { dumps = [] } = codecsSchema.safeParse(document).data ?? {};
  const unknown = dumps.find(({ codec }) => !isCodec(codec));
  if (unknown === undefined) return;
  throw new GantryError('CODEC_UNKNOWN', {
    message: `${source}: this version of Gantry does not know the codec ${unknown.codec}`,
    hint: `It knows ${CODEC_NAMES.join(', ')}. Use the version of Gantry that made the export, or a later one.`,
  });
}

function damaged(source: string, problems: readonly string[], cause?: unknown): GantryError {
  const [first = 'it is not right'] = problems;
  return new GantryError('MANIFEST_DAMAGED', {
    message: `${source} is damaged: ${first}`,
    details: problems.length > 1 ? problems.slice(0, 20) : [],
    hint: 'The dumps may still be intact: check them with sha256sum -c SHA256SUMS, and read them with zstd -dc or gzip -dc.',
    cause,
  });
}
