import { z } from 'zod';
import type { GantryErrorCode } from '../report/errors.ts';
import { JsonBoundsError, parseBoundedJson } from './bounded-json.ts';
import { isReferencePart } from './export-id.ts';
import { isInFuture } from './future.ts';
import type { Manifest } from './manifest.ts';

/*
 * What verifications found, export by export (docs/reference/formats/verifications.md).
 */

/** The depths of a verification that are remembered, each deeper than the one before. */
export const REMEMBERED_DEPTHS = ['stored', 'frames', 'rehearsal'] as const;

export type RememberedDepth = (typeof REMEMBERED_DEPTHS)[number];

export function isRememberedDepth(depth: string): depth is RememberedDepth {
  return REMEMBERED_DEPTHS.some((known) => known === depth);
}

/** What one verification of an export found. */
export interface Verification {
  /** When it ended: ISO 8601, UTC. */
  readonly at: string;
  readonly result: 'sound' | 'damaged';
  /** What is damaged. */
  readonly problem?: string;
  /** {@link objectMark} of every dump that was checked: what is said here is not said of others with the same names. */
  readonly objects: readonly string[];
}

/** The newest verification of each depth. */
export type ExportVerifications = { readonly [D in RememberedDepth]?: Verification };

/** By the ids of the exports. */
export type InstanceVerifications = ReadonlyMap<string, ExportVerifications>;

/** More than the exports of an instance have in 20 years of one a day. */
const MAX_EXPORTS = 10_000;
const MAX_OBJECTS = 1000;
const MAX_PROBLEM_LENGTH = 500;
/** What one object with verifications may have. */
export const MAX_VERIFICATIONS_BYTES: number = 16 * 1024 ** 2;

const mark = z.string().regex(/^[0-9a-f]{16}$/);

const verification: z.ZodType<Verification> = z.object({
  at: z.iso.datetime(),
  result: z.enum(['sound', 'damaged']),
  problem: z.string().max(MAX_PROBLEM_LENGTH).exactOptional(),
  objects: z.array(mark).max(MAX_OBJECTS),
});

const documentSchema = z.object({
  format: z.literal('gantry-verified'),
  version: z.literal(1),
  exports: z.record(
    z.string().refine(isReferencePart),
    z.object({ stored: verification.exactOptional(), frames: verification.exactOptional(), rehearsal: verification.exactOptional() }),
  ),
});

/** By how much of its SHA-256 a dump is known here. */
export function objectMark(sha256: string): string {
  return sha256.slice(0, 16);
}

/** The dumps that are in the directory of an export itself. */
export function ownMarks({ dumps }: Manifest): readonly string[] {
  return dumps.filter(({ storedBytes }) => storedBytes > 0).map(({ sha256 }) => objectMark(sha256));
}

export function renderVerifications(found: InstanceVerifications): string {
  return `${JSON.stringify({ format: 'gantry-verified', version: 1, exports: Object.fromEntries(found) })}\n`;
}

/**
 * Reads what {@link renderVerifications} wrote, perhaps long ago and on another host. What is not valid says nothing, and nor does what
 * is said to have been found in the future: then the export is verified again.
 */
export function parseVerifications(text: string): InstanceVerifications {
  let document: unknown;
  try {
    document = parseBoundedJson(text, { maxValues: 200_000, maxMembers: MAX_EXPORTS });
  } catch (error) {
    if (error instanceof JsonBoundsError) return new Map();
    throw error;
  }
  const parsed = documentSchema.safeParse(document).data;
  return new Map(Object.entries(parsed?.exports ?? {}).map(([id, depths]) => [id, withoutFuture(depths)]));
}

function withoutFuture(depths: ExportVerifications): ExportVerifications {
  return Object.fromEntries(Object.entries(depths).filter(([, { at }]) => !isInFuture(new Date(at))));
}

/** Of each export and depth, the newest of two verifications. */
export function mergeVerifications(a: InstanceVerifications, b: InstanceVerifications): InstanceVerifications {
  const merged = new Map(a);
  for (const [id, depths] of b) merged.set(id, newest(merged.get(id), depths));
  return merged;
}

function newest(a: ExportVerifications = {}, b: ExportVerifications): ExportVerifications {
  const depths = REMEMBERED_DEPTHS.flatMap((depth): [RememberedDepth, Verification][] => {
    const [first, second] = [a[depth], b[depth]];
    const newer = first === undefined || (second !== undefined && Date.parse(second.at) >= Date.parse(first.at)) ? second : first;
    return newer === undefined ? [] : [[depth, newer]];
  });
  return Object.fromEntries(depths);
}

/** A verification that ended now. */
export function verificationOf(
  objects: readonly string[],
  problem?: { readonly code: GantryErrorCode; readonly message: string },
): Verification {
  const at = new Date().toISOString();
  const known = objects.slice(0, MAX_OBJECTS);
  if (problem === undefined) return { at, result: 'sound', objects: known };
  return { at, result: 'damaged', problem: `${problem.message} [${problem.code}]`.slice(0, MAX_PROBLEM_LENGTH), objects: known };
}

/** The verification of an export as a whole. */
export interface LastVerification {
  readonly at: Date;
  readonly depth: RememberedDepth;
  readonly result: 'sound' | 'damaged';
  readonly problem?: string;
}

/**
 * The newest verification of all that an export needs. Its dumps and those of other exports are verified at different times: the oldest
 * of them counts.
 *
 * @param manifest absent for an export of Ganeti
 * @param of what is known of the exports of an instance
 */
export async function lastVerification(
  { instance, id, manifest }: { readonly instance: string; readonly id: string; readonly manifest?: Manifest | undefined },
  of: (instance: string) => Promise<InstanceVerifications>,
): Promise<LastVerification | undefined> {
  const own = (await of(instance)).get(id) ?? {};
  const marks = manifest === undefined ? [] : ownMarks(manifest);
  const deep = (['rehearsal', 'frames'] as const).flatMap((depth) => asLast(own[depth], depth, marks) ?? []);
  const stored = manifest === undefined ? asLast(own.stored, 'stored', []) : await lastStored(manifest, of);
  const all = [...deep, ...(stored === undefined ? [] : [stored])];
  const [last] = all.toSorted((a, b) => b.at.getTime() - a.at.getTime());
  return last;
}

/** By the SHA-256 of all dumps and packs. */
async function lastStored(
  manifest: Manifest,
  of: (instance: string) => Promise<InstanceVerifications>,
): Promise<LastVerification | undefined> {
  let oldest: LastVerification | undefined;
  for (const { instance, exportId, marks } of neededObjects(manifest)) {
    const found = asLast((await of(instance)).get(exportId)?.stored, 'stored', marks);
    if (found === undefined || found.result === 'damaged') return found;
    if (oldest === undefined || found.at < oldest.at) oldest = found;
  }
  return oldest;
}

/** The exports in whose directories there is something that an export is read from: its own first. */
function neededObjects(manifest: Manifest): readonly { readonly instance: string; readonly exportId: string; readonly marks: string[] }[] {
  const own = { instance: manifest.instance.name, exportId: manifest.exportId, marks: [...ownMarks(manifest)] };
  const needed = new Map([[`${own.instance}@${own.exportId}`, own]]);
  for (const { instance, exportId, sha256 } of manifest.dumps.flatMap(({ map }) => map?.packs ?? [])) {
    const name = `${instance}@${exportId}`;
    const known = needed.get(name) ?? { instance, exportId, marks: [] };
    known.marks.push(objectMark(sha256));
    needed.set(name, known);
  }
  return [...needed.values()];
}

/** Undefined where the verification was not one of all these dumps. */
function asLast(found: Verification | undefined, depth: RememberedDepth, marks: readonly string[]): LastVerification | undefined {
  if (found === undefined || !marks.every((each) => found.objects.includes(each))) return undefined;
  const { at, result, problem } = found;
  return { at: new Date(at), depth, result, ...(problem === undefined ? {} : { problem }) };
}
