import { z } from 'zod';
import type { GantryErrorCode } from '../report/errors.ts';
import { JsonBoundsError, parseBoundedJson } from './bounded-json.ts';
import { isReferencePart } from './export-id.ts';
import { isInFuture } from './future.ts';
import type { Manifest } from './manifest.ts';

/*
 * What verifications found, export by export (docs/reference/formats/verifications.md).
 */

/** The version of the format, which is written and read. */
export const VERIFICATIONS_VERSION = 1;

/** The depths of a verification that are remembered. */
const REMEMBERED_DEPTHS = ['stored', 'frames', 'rehearsal'] as const;

export type RememberedDepth = (typeof REMEMBERED_DEPTHS)[number];

/**
 * The depths at which a verification does all that one of this depth does. A rehearsal reads dumps, but neither `config.ini` nor the
 * native files; no other verification runs the scripts.
 */
export const COVERED_BY: Readonly<Record<RememberedDepth, readonly RememberedDepth[]>> = {
  stored: ['stored', 'frames'],
  frames: ['frames'],
  rehearsal: ['rehearsal'],
};

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
  /** Those of them that are damaged or could not be read, where it was found out which: the others are sound. */
  readonly damagedObjects?: readonly string[];
}

type ByDepth<T> = { readonly [D in RememberedDepth]?: T };

/** The newest verification of each depth. */
export interface ExportVerifications extends ByDepth<Verification> {
  /** When one was last tried that could not be made, such as of dumps that cannot be read now: ISO 8601, UTC. */
  readonly tried?: ByDepth<string>;
}

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
  damagedObjects: z.array(mark).max(MAX_OBJECTS).exactOptional(),
});

function byDepth<T>(value: z.ZodType<T>) {
  return { stored: value.exactOptional(), frames: value.exactOptional(), rehearsal: value.exactOptional() };
}

const documentSchema = z.object({
  format: z.literal('gantry-verified'),
  version: z.literal(VERIFICATIONS_VERSION),
  exports: z.record(
    z.string().refine(isReferencePart),
    z.object({ ...byDepth(verification), tried: z.object(byDepth<string>(z.iso.datetime())).exactOptional() }),
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
  return `${JSON.stringify({ format: 'gantry-verified', version: VERIFICATIONS_VERSION, exports: Object.fromEntries(found) })}\n`;
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

function withoutFuture({ tried, ...found }: ExportVerifications): ExportVerifications {
  const past = <T>(value: T | undefined, at: string | undefined): T | undefined =>
    at === undefined || isInFuture(new Date(at)) ? undefined : value;
  return verificationsOf(
    (depth) => past(found[depth], found[depth]?.at),
    (depth) => past(tried?.[depth], tried?.[depth]),
  );
}

function verificationsOf(
  found: (depth: RememberedDepth) => Verification | undefined,
  tried: (depth: RememberedDepth) => string | undefined,
): ExportVerifications {
  const times = ofDepths(tried);
  return { ...ofDepths(found), ...(Object.keys(times).length === 0 ? {} : { tried: times }) };
}

function ofDepths<T>(of: (depth: RememberedDepth) => T | undefined): ByDepth<T> {
  return Object.fromEntries(
    REMEMBERED_DEPTHS.flatMap((depth): [RememberedDepth, T][] => {
      const value = of(depth);
      return value === undefined ? [] : [[depth, value]];
    }),
  );
}

/** Of each export and depth, the newest of two verifications. */
export function mergeVerifications(a: InstanceVerifications, b: InstanceVerifications): InstanceVerifications {
  const merged = new Map(a);
  for (const [id, depths] of b) merged.set(id, newest(merged.get(id), depths));
  return merged;
}

function newest(a: ExportVerifications = {}, b: ExportVerifications): ExportVerifications {
  return verificationsOf(
    (depth) => later(a[depth], b[depth], ({ at }) => at),
    (depth) => later(a.tried?.[depth], b.tried?.[depth], (at) => at),
  );
}

function later<T>(first: T | undefined, second: T | undefined, timeOf: (value: T) => string): T | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return Date.parse(timeOf(second)) >= Date.parse(timeOf(first)) ? second : first;
}

/**
 * A verification that ended now.
 *
 * @param damagedObjects which of the objects are damaged, where that is known
 */
export function verificationOf(
  objects: readonly string[],
  problem?: { readonly code: GantryErrorCode; readonly message: string },
  damagedObjects?: readonly string[],
): Verification {
  const at = new Date().toISOString();
  const known = objects.slice(0, MAX_OBJECTS);
  if (problem === undefined) return { at, result: 'sound', objects: known };
  const text = `${problem.message} [${problem.code}]`.slice(0, MAX_PROBLEM_LENGTH);
  const isKnown = damagedObjects !== undefined && damagedObjects.length <= MAX_OBJECTS;
  return { at, result: 'damaged', problem: text, objects: known, ...(isKnown ? { damagedObjects } : {}) };
}

/** The verification of an export as a whole. */
export interface LastVerification {
  readonly at: Date;
  readonly depth: RememberedDepth;
  readonly result: 'sound' | 'damaged';
  readonly problem?: string;
}

/** Why a verification makes an export a damaged one, one clause; undefined if it does not. */
export function damageFound(last: LastVerification | undefined): string | undefined {
  return last?.result === 'damaged' ? `its verification of ${last.at.toISOString()} found: ${last.problem ?? 'damage'}` : undefined;
}

/**
 * The newest verification of all that an export needs. Its dumps and those of other exports are verified at different times: the oldest
 * of them counts. Damage stays until a verification that would have found it finds nothing.
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
  return newestOf(all.filter((each) => each.result === 'damaged' && !all.some((other) => clears(other, each)))) ?? newestOf(all);
}

function clears({ result, depth, at }: LastVerification, damage: LastVerification): boolean {
  return result === 'sound' && at > damage.at && COVERED_BY[damage.depth].includes(depth);
}

function newestOf(all: readonly LastVerification[]): LastVerification | undefined {
  return all.toSorted((a, b) => b.at.getTime() - a.at.getTime())[0];
}

/** By the SHA-256 of all dumps and packs. */
async function lastStored(
  manifest: Manifest,
  of: (instance: string) => Promise<InstanceVerifications>,
): Promise<LastVerification | undefined> {
  const [own, ...others] = neededObjects(manifest);
  const found = [asLast((await of(own.instance)).get(own.exportId)?.stored, 'stored', own.marks)];
  for (const { instance, exportId, marks } of others) found.push(storedPacks((await of(instance)).get(exportId) ?? {}, marks));
  const known = found.flatMap((each) => each ?? []);
  const damage = newestOf(known.filter(({ result }) => result === 'damaged'));
  // Damage in one directory counts, although others were never verified.
  if (damage !== undefined || known.length < found.length) return damage;
  return known.toSorted((a, b) => a.at.getTime() - b.at.getTime())[0];
}

/** Packs in the directory of another export. Damage to anything else there is nothing to those that only need these packs. */
function storedPacks({ stored, frames }: ExportVerifications, marks: readonly string[]): LastVerification | undefined {
  const damaged = stored?.damagedObjects;
  const isAffected = damaged !== undefined && marks.some((each) => damaged.includes(each));
  // Damage to one of them counts, whether or not the others were there then.
  const byDigest = asLast(stored, 'stored', isAffected ? [] : marks);
  const isHarmless = byDigest !== undefined && damaged !== undefined && !isAffected;
  const byItself: LastVerification | undefined = isHarmless ? { at: byDigest.at, depth: 'stored', result: 'sound' } : byDigest;
  const byFrames = frames?.result === 'sound' ? asLast(frames, 'stored', marks) : undefined;
  return newestOf([byItself, byFrames].flatMap((each) => each ?? []));
}

interface NeededObjects {
  readonly instance: string;
  readonly exportId: string;
  readonly marks: string[];
}

/** The exports in whose directories there is something that an export is read from: its own first. */
function neededObjects(manifest: Manifest): readonly [NeededObjects, ...NeededObjects[]] {
  const own: NeededObjects = { instance: manifest.instance.name, exportId: manifest.exportId, marks: [...ownMarks(manifest)] };
  const ownName = `${own.instance}@${own.exportId}`;
  const needed = new Map([[ownName, own]]);
  for (const { instance, exportId, sha256 } of manifest.dumps.flatMap(({ map }) => map?.packs ?? [])) {
    const name = `${instance}@${exportId}`;
    const known = needed.get(name) ?? { instance, exportId, marks: [] };
    known.marks.push(objectMark(sha256));
    needed.set(name, known);
  }
  needed.delete(ownName);
  return [own, ...needed.values()];
}

/** Undefined where the verification was not one of all these dumps. */
function asLast(found: Verification | undefined, depth: RememberedDepth, marks: readonly string[]): LastVerification | undefined {
  if (found === undefined || !marks.every((each) => found.objects.includes(each))) return undefined;
  const { at, result, problem } = found;
  return { at: new Date(at), depth, result, ...(problem === undefined ? {} : { problem }) };
}
