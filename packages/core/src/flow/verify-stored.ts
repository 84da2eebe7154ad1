import type { CallOptions, Digest } from '@gantry/transport';
import { exportPrefix } from '../exports/export-id.ts';
import type { StoredExport } from '../exports/open-export.ts';
import { dumpMissing, sizeProblem } from '../exports/open-export.ts';
import type { PackDigests } from '../exports/pack-digests.ts';
import type { PackRecord } from '../exports/packs.ts';
import { packKey } from '../exports/export-objects.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { DAMAGED_DUMP_HINT } from '../frames/damage.ts';
import { GantryError } from '../report/errors.ts';

/**
 * Checks that everything in the directory of an export is as it was stored: its native files, frame tables and frame maps, and the
 * SHA-256 of its dumps. Frames of it in other directories are left to those.
 *
 * @param checkSums compares `config.ini` and `SHA256SUMS`
 * @returns every damage that was found
 * @throws GantryError `STORE_*`; the reason of the signal
 */
export async function storedProblems(
  found: StoredExport,
  digests: PackDigests,
  { signal, checkSums, address }: CallOptions & { readonly checkSums: () => Promise<void>; readonly address: string },
): Promise<readonly GantryError[]> {
  const problems: GantryError[] = [];
  const check = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await withStoreErrors(address, work);
    } catch (error) {
      if (!isDamage(error)) throw error;
      problems.push(error);
    }
  };
  await check(checkSums);
  for (const { name } of found.native) await check(() => found.nativeFile(name, { signal }));
  const [first] = found.dumps;
  if (first !== undefined && found.manifest?.frameTables !== undefined) await check(() => found.frameTable(first.index, { signal }));
  for (const dump of found.dumps) {
    await check(() => found.frameMap(dump.index, { signal }));
    const { record } = dump;
    // Of an export that is read by its maps, the record is that of its own pack, if it has one.
    if (record === undefined || record.storedBytes === 0) continue;
    await check(async () => {
      const { name } = record;
      const digest = await digests.of(`${exportPrefix(found.instance, found.id)}${name}`, { signal });
      if (digest === undefined) throw dumpMissing(found.reference, { ...dump, name });
      const problem = sizeProblem(record, digest.size) ?? digestProblem(record.sha256, digest);
      if (problem !== undefined) throw damagedDump(`${name} of ${found.reference}`, problem, dump.index);
    });
  }
  return problems;
}

/** Checks packs against what exports say of them. @throws StoreError */
export async function packProblems(
  claims: readonly PackRecord[],
  digests: PackDigests,
  options: CallOptions,
): Promise<readonly GantryError[]> {
  const problems: GantryError[] = [];
  for (const pack of claims) {
    const problem = await packProblem(pack, digests, options);
    if (problem !== undefined) problems.push(problem);
  }
  return problems;
}

async function packProblem(pack: PackRecord, digests: PackDigests, options: CallOptions): Promise<GantryError | undefined> {
  return badPack(pack, await digests.of(packKey(pack), options));
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

/** Whether an error says that an export is damaged, rather than that it could not be read now. */
export function isDamage(error: unknown): error is GantryError {
  return error instanceof GantryError && error.exitCode === DAMAGE_EXIT_CODE;
}

const DAMAGE_EXIT_CODE = 7;

/** The first problem for people, with the others as its details. */
export function oneProblem([first, ...others]: readonly GantryError[]): GantryError | undefined {
  if (first === undefined || others.length === 0) return first;
  const details = [...first.details, ...others.map(({ message, code }) => `also: ${message} [${code}]`)];
  return new GantryError(first.code, { message: first.message, hint: first.hint, disk: first.disk, details, cause: first });
}
