import type { CallOptions, Digest } from '@gantry/transport';
import type { Manifest } from '../exports/manifest.ts';
import type { StoredExport } from '../exports/open-export.ts';
import { dumpMissing, sizeProblem } from '../exports/open-export.ts';
import type { PackDigests } from '../exports/pack-digests.ts';
import type { PackRecord } from '../exports/packs.ts';
import type { ExportObject } from '../exports/export-objects.ts';
import { hasObject, ownObjects, packKey } from '../exports/export-objects.ts';
import { failureOf } from '../exports/object-kinds.ts';
import { isRefusal } from '../exports/signature.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { objectMark } from '../exports/verification.ts';
import { DAMAGED_DUMP_HINT } from '../frames/damage.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';

/** Gathers what verifying finds, so that everything else is verified anyway. */
export class FoundProblems {
  readonly #address: string;
  readonly #signal: AbortSignal | undefined;
  readonly #problems: GantryError[] = [];

  constructor(address: string, signal: AbortSignal | undefined) {
    this.#address = address;
    this.#signal = signal;
  }

  /** Damage, and what cannot be read. */
  get all(): readonly GantryError[] {
    return this.#problems;
  }

  /** @returns undefined after a problem @throws GantryError `STORE_UNAVAILABLE`: nothing else can be read either; the reason of the signal */
  async check<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await withStoreErrors(this.#address, work);
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (!(error instanceof GantryError) || error.code === 'STORE_UNAVAILABLE') throw error;
      this.#problems.push(error);
      return undefined;
    }
  }
}

/**
 * Checks that everything in the directory of an export is as it was stored: its native files, frame tables and frame maps, and the
 * SHA-256 of its dumps; of a sealed export, the SHA-256 of every file. Frames of it in other directories are left to those.
 *
 * @param checkSums compares `config.ini` and `SHA256SUMS`
 * @returns every problem that was found: damage, and what cannot be read
 * @throws GantryError `STORE_UNAVAILABLE`; the reason of the signal
 */
export async function storedProblems(
  found: StoredExport,
  digests: PackDigests,
  { signal, checkSums, address }: CallOptions & { readonly checkSums: () => Promise<void>; readonly address: string },
): Promise<readonly GantryError[]> {
  const problems = new FoundProblems(address, signal);
  await problems.check(checkSums);
  const { manifest } = found;
  if (manifest?.sealed !== undefined)
    for (const object of ownObjects(manifest)) await problems.check(() => checkObject(found, object, digests, { signal }));
  else await checkReadable(found, digests, problems, { signal });
  return problems.all;
}

/** Holds an object against its digest alone. @throws GantryError for one that is not as it was stored */
async function checkObject({ reference }: StoredExport, object: ExportObject, digests: PackDigests, options: CallOptions): Promise<void> {
  const { key, name, size, disk } = object;
  const digest = await digests.of(key, options);
  if (digest === undefined) {
    const message = `${reference} is incomplete: its file ${name} is not in the store`;
    throw new GantryError(failureOf(object, 'missing'), { message, hint: DAMAGED_DUMP_HINT, disk });
  }
  const problem = digest.size === size ? digestProblem(object.sha256, digest) : `it has ${digest.size} bytes instead of ${size}`;
  if (problem === undefined) return;
  const message = `${name} of ${reference} is damaged: ${problem}`;
  throw new GantryError(failureOf(object, 'damaged'), { message, hint: DAMAGED_DUMP_HINT, disk });
}

/** Reads what has a form, and holds the dumps against their digests. */
async function checkReadable(found: StoredExport, digests: PackDigests, problems: FoundProblems, { signal }: CallOptions): Promise<void> {
  for (const { name } of found.native) await problems.check(() => found.nativeFile(name, { signal }));
  const [first] = found.dumps;
  if (first !== undefined && found.manifest?.frameTables !== undefined)
    await problems.check(() => found.frameTable(first.index, { signal }));
  for (const dump of found.dumps) {
    await problems.check(() => found.frameMap(dump.index, { signal }));
    const { record } = dump;
    // Of an export that is read by its maps, the record is that of its own pack, if it has one.
    if (record === undefined || found.manifest === undefined || !hasObject(found.manifest, record)) continue;
    await problems.check(async () => {
      const { name } = record;
      const digest = await digests.of(packKey({ instance: found.instance, exportId: found.id, name }), { signal });
      if (digest === undefined) throw dumpMissing(found.reference, { ...dump, name });
      const problem = sizeProblem(record, digest.size) ?? digestProblem(record.sha256, digest);
      if (problem !== undefined) throw damagedDump(`${name} of ${found.reference}`, problem, dump.index);
    });
  }
}

/** Checks packs against what exports say of them. @returns and throws as {@link storedProblems} */
export async function packProblems(
  claims: readonly PackRecord[],
  digests: PackDigests,
  { signal, address }: CallOptions & { readonly address: string },
): Promise<readonly GantryError[]> {
  const problems = new FoundProblems(address, signal);
  for (const pack of claims) {
    await problems.check(async () => {
      const problem = badPack(pack, await digests.of(packKey(pack), { signal }));
      if (problem !== undefined) throw problem;
    });
  }
  return problems.all;
}

/** The marks of those packs that were not found to be what is said of them. */
export async function damagedMarks(
  packs: readonly Pick<PackRecord, 'instance' | 'exportId' | 'name' | 'sha256'>[],
  digests: PackDigests,
): Promise<readonly string[]> {
  const marks: string[] = [];
  for (const pack of packs) {
    const known = await digests.known(packKey(pack));
    if (known?.digest?.sha256 !== pack.sha256) marks.push(objectMark(pack.sha256));
  }
  return marks;
}

/** {@link damagedMarks} of the dumps in the directory of an export. */
export function damagedOwnMarks({ instance, exportId, dumps }: Manifest, digests: PackDigests): Promise<readonly string[]> {
  const stored = dumps.filter(({ storedBytes }) => storedBytes > 0);
  return damagedMarks(
    stored.map(({ name, sha256 }) => ({ instance: instance.name, exportId, name, sha256 })),
    digests,
  );
}

/** What the bytes of a pack say against what an export says of it. */
export function badPack(pack: PackRecord, digest: Digest | undefined): GantryError | undefined {
  const problem = digest === undefined ? undefined : digestProblem(pack.sha256, digest);
  if (problem !== undefined) return damagedDump(packKey(pack), problem);
  if (digest !== undefined) return undefined;
  return new GantryError('PACK_MISSING', {
    message: `${packKey(pack)}, which other exports refer to, is missing`,
    hint: DAMAGED_DUMP_HINT,
  });
}

function digestProblem(expected: string, { sha256 }: Digest): string | undefined {
  return sha256 === expected ? undefined : `SHA-256 mismatch: got ${sha256}, expected ${expected}`;
}

function damagedDump(what: string, problem: string, disk?: number): GantryError {
  return new GantryError('DUMP_DAMAGED', { message: `${what} is damaged: ${problem}`, hint: DAMAGED_DUMP_HINT, disk });
}

/** Whether an error says that an export is damaged, rather than that it could not be read now, or not with these identities. */
export function isDamage(error: unknown): error is GantryError {
  return error instanceof GantryError && error.exitCode === DAMAGE_EXIT_CODE && !isClosed(error.code) && !isRefusal(error);
}

function isClosed(code: GantryErrorCode): boolean {
  return code === 'IDENTITY_NEEDED' || code === 'IDENTITY_MISMATCH';
}

const DAMAGE_EXIT_CODE = 7;

/** The first problem for people, with the others as its details. Damage comes before what could not be read. */
export function oneProblem(problems: readonly GantryError[]): GantryError | undefined {
  const [first, ...others] = problems.toSorted((a, b) => Number(isDamage(b)) - Number(isDamage(a)));
  if (first === undefined || others.length === 0) return first;
  const details = [...first.details];
  for (const { message, code, details: more } of others) details.push(`also: ${message} [${code}]`, ...more);
  return new GantryError(first.code, { message: first.message, hint: first.hint, disk: first.disk, details, cause: first });
}
