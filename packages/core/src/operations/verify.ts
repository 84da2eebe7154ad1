import type { Store } from '@gantry/transport';
import { readSideFile } from '../exports/examine.ts';
import { CONFIG_FILE, FRAMES_FILE, SUMS_FILE } from '../exports/layout.ts';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import { parseSha256Sums } from '../exports/sha256sums.ts';
import { digestText } from '../exports/small-object.ts';
import { inDump } from '../frames/damage.ts';
import { decodeDump } from '../frames/decode-dump.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { GantryError } from '../report/errors.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, createReporter, reportPhases } from '../report/reporter.ts';
import { sideBySide } from '../system/side-by-side.ts';

export interface VerifyRequest extends Pick<OperationOptions, 'signal' | 'onEvent'> {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly export: string;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
}

export interface VerifyResult {
  readonly reference: string;
  /** Whether there were checksums to hold it against: not in an export that Ganeti made. */
  readonly checksums: boolean;
  readonly plainBytes: number;
  readonly warnings: readonly string[];
}

/**
 * Reads all of an export and checks it: every frame, the digest and size of every dump, `config.ini` and `SHA256SUMS`. All damage
 * is found, not just the first.
 *
 * @throws GantryError `DUMP_DAMAGED`, `DUMP_MISSING`, `MANIFEST_DAMAGED`, `CONFIG_DAMAGED` and what `openExport` throws
 */
export async function verifyExport(request: VerifyRequest): Promise<VerifyResult> {
  const { store } = request;
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('verify', request.onEvent);
  const found = await openExport(store, request.export, { signal });
  for (const warning of found.warnings) reporter.warn(warning);
  reporter.stage(`verifying ${found.reference}`);
  const checksums = found.origin === 'gantry';
  if (checksums) await checkSums(store, found, signal);
  else
    reporter.warn(
      `${found.reference} was made by Ganeti: it carries no checksums; only what the compressed format itself checks is checked`,
    );
  const plainBytes = await verifyDumps(found, found.dumps, { reporter, signal, parallel: request.parallel });
  return { reference: found.reference, checksums, plainBytes, warnings: reporter.warnings };
}

/** `config.ini` is as it was written, and `SHA256SUMS` says what the manifest says. */
async function checkSums(store: Store, found: StoredExport, signal: AbortSignal): Promise<void> {
  const parsed = parseSha256Sums(await readSideFile(store, found, SUMS_FILE, { signal }), `${SUMS_FILE} of ${found.reference}`);
  const sums = new Map(parsed.map(({ name, sha256 }) => [name, sha256]));
  const tables = found.manifest?.frameTables?.sha256;
  const wrong =
    found.dumps.find(({ name, record }) => sums.get(name) !== record?.sha256) ??
    (sums.get(FRAMES_FILE) === tables ? undefined : { name: FRAMES_FILE, index: undefined });
  if (wrong !== undefined) {
    throw new GantryError('MANIFEST_DAMAGED', {
      message: `${found.reference}: manifest.json and SHA256SUMS say different things of ${wrong.name}`,
      hint: 'One of them was changed: see which with sha256sum -c SHA256SUMS.',
      disk: wrong.index,
    });
  }
  if (sums.get(CONFIG_FILE) === digestText(await readSideFile(store, found, CONFIG_FILE, { signal })).sha256) return;
  throw new GantryError('CONFIG_DAMAGED', {
    message: `${found.reference}: config.ini is not as it was written`,
    hint: 'Gantry goes by manifest.json; before Ganeti reads this export, compare config.ini with it.',
  });
}

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
        inDump(dump.name, dump.index, verifyDump(found, dump, { reporter, signal, budget, hasTables })),
      );
    } catch (error) {
      if (!(error instanceof GantryError)) throw error;
      failures.push(error);
      return 0;
    }
  });
  const [first, ...others] = failures.toSorted((a, b) => (a.disk ?? 0) - (b.disk ?? 0));
  if (first === undefined) return bytes.reduce((total, number) => total + number, 0);
  if (others.length === 0) throw first;
  const details = [...first.details, ...others.map(({ message, code }) => `also: ${message} [${code}]`)];
  throw new GantryError(first.code, { message: first.message, hint: first.hint, disk: first.disk, details, cause: first });
}

/** @throws GantryError `MANIFEST_DAMAGED` where the export should have frame tables that cannot be read */
async function readTables(found: StoredExport, [first]: readonly StoredDump[], signal: AbortSignal): Promise<boolean> {
  if (first !== undefined) await found.frameTable(first.index, { signal });
  return true;
}

async function verifyDump(
  found: StoredExport,
  dump: StoredDump,
  { reporter, signal, budget, hasTables }: { reporter: Reporter; signal: AbortSignal; budget: MemoryBudget; hasTables: boolean },
): Promise<number> {
  const { index, codec, record } = dump;
  await found.checkDumpsPresent({ disks: [index], signal });
  const table = hasTables ? await found.frameTable(index, { signal }) : undefined;
  await using stored = await found.dump(dump.name, { signal });
  const tell = reporter.progressOf(index, () => record?.plainBytes);
  let total = 0;
  const onProgress = (plainBytes: number, storedBytes: number): void => {
    total = plainBytes;
    tell(plainBytes, storedBytes);
  };
  for await (const _piece of decodeDump(stored, { codec, framed: record, table, budget, signal, onProgress }));
  tell(total, stored.length, true);
  return total;
}
