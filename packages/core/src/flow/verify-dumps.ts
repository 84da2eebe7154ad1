import type { MappedRead, StoredDump, StoredExport } from '../exports/open-export.ts';
import { inMap } from '../exports/frame-maps.ts';
import { OwnPackDigest } from '../exports/own-pack-digest.ts';
import { decodeMap } from '../frames/decode-map.ts';
import { MapComparison } from '../frames/map-comparison.ts';
import type { DumpProgress } from '../frames/types.ts';
import { inDump } from '../frames/damage.ts';
import { decodeDump } from '../frames/decode-dump.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { oneProblem } from './verify-stored.ts';
import { sum } from '../system/sum.ts';

interface VerifyDumpsOptions {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  readonly parallel: number | undefined;
}

/**
 * Reads the given dumps to their ends and checks them.
 *
 * @returns plain bytes of all of them
 * @throws GantryError with the first damage; the others are in its details
 */
export async function verifyDumps(
  found: StoredExport,
  dumps: readonly StoredDump[],
  { reporter, signal, parallel }: VerifyDumpsOptions,
): Promise<number> {
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  const failures: GantryError[] = [];
  const hasTables = await readTables(found, dumps, signal).catch((error: unknown) => {
    if (!(error instanceof GantryError) || error.code !== 'MANIFEST_DAMAGED') throw error;
    failures.push(error);
    return false;
  });
  for (const { index, record } of dumps) reporter.disk(index, 'waiting', record?.plainBytes);
  const bytes = await sideBySide(dumps, parallel ?? DEFAULT_PARALLEL_DISKS, signal, async (dump, signal) => {
    try {
      return await reportPhases(reporter, dump.index, () =>
        inDump(
          dump.name,
          dump.index,
          verifyDump(found, dump, { reporter, signal, budget, hasTables, fail: (error) => void failures.push(error) }),
        ),
      );
    } catch (error) {
      if (!(error instanceof GantryError)) throw error;
      failures.push(error);
      return 0;
    }
  });
  const failure = oneProblem(failures.toSorted((a, b) => (a.disk ?? 0) - (b.disk ?? 0)));
  if (failure !== undefined) throw failure;
  return sum(bytes);
}

/** @throws GantryError `MANIFEST_DAMAGED` where the export should have frame tables that cannot be read */
async function readTables(found: StoredExport, [first]: readonly StoredDump[], signal: AbortSignal): Promise<boolean> {
  if (first !== undefined) await found.frameTable(first.index, { signal });
  return true;
}

interface VerifyDumpOptions extends Pick<VerifyDumpsOptions, 'reporter' | 'signal'> {
  readonly budget: MemoryBudget;
  readonly hasTables: boolean;
  /** Called with damage after which the dump is still read. */
  readonly fail: (error: GantryError) => void;
}

async function verifyDump(found: StoredExport, dump: StoredDump, o: VerifyDumpOptions): Promise<number> {
  const { reporter, signal } = o;
  const { index, record } = dump;
  await found.checkDumpsPresent({ disks: [index], signal });
  const report = reporter.progressOf(index, () => record?.plainBytes);
  let total = 0;
  let storedTotal = 0;
  const onProgress = (plainBytes: number, storedBytes: number): void => {
    total = plainBytes;
    storedTotal = storedBytes;
    report(plainBytes, storedBytes);
  };
  const mapped = await found.mapped(index, { signal });
  await (mapped === undefined ? verifyComplete(found, dump, o, onProgress) : verifyMapped(mapped, o, onProgress));
  report(total, storedTotal, true);
  return total;
}

/** A dump that is complete by itself, and its frame map, if it has one. A map that is damaged does not end the verification. */
async function verifyComplete(
  found: StoredExport,
  dump: StoredDump,
  { signal, budget, hasTables, fail }: VerifyDumpOptions,
  onProgress: DumpProgress,
): Promise<void> {
  const { index, name, codec, record } = dump;
  const table = hasTables ? await found.frameTable(index, { signal }) : undefined;
  const inOwnMap = async <T>(work: Promise<T>): Promise<T | undefined> =>
    await inMap(found.reference, index, work).catch((error: unknown) => {
      if (!(error instanceof GantryError) || error.code !== 'MAP_DAMAGED') throw error;
      fail(error);
      return undefined;
    });
  const map = await inOwnMap(found.frameMap(index, { signal }));
  let comparison = map && table && record && new MapComparison({ map, table, frameSize: record.frameSize });
  await using stored = await found.dump(name, { signal });
  let plainBytes = 0;
  for await (const piece of decodeDump(stored, { codec, framed: record, table, budget, signal, onProgress })) {
    plainBytes += piece instanceof Uint8Array ? piece.length : piece.zeros;
    if (comparison !== undefined && (await inOwnMap(comparison.next(piece))) === undefined) comparison = undefined;
  }
  onProgress(plainBytes, stored.length);
}

/** Every frame of a disk, in all its packs; of the pack that belongs to the export, its SHA-256 too. */
async function verifyMapped(
  { map, packs, disk }: MappedRead,
  { signal, budget }: VerifyDumpOptions,
  onProgress: DumpProgress,
): Promise<void> {
  using own = new OwnPackDigest(disk, packs);
  for await (const _piece of decodeMap(map, { ...packs, open: own.open, budget, signal, onProgress }));
  await own.check(signal);
}
