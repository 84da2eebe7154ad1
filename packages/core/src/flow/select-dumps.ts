import type { InspectedDisks } from '../disks/inspect-disks.ts';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { isStoredPlain } from '../frames/codecs/registry.ts';
import type { Instance } from '../instances/model.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';
import type { SelectedOs } from '../scripts/select.ts';
import type { IncomingData } from './check-data.ts';
import type { OriginalDisk } from './import-checks.ts';
import { assertEnoughDisks } from './import-checks.ts';

/** What is known of the data of one disk before its first byte. */
export function describeIncoming(
  { index, plainBytes, size }: OriginalDisk,
  { reference }: StoredExport,
  { definition }: SelectedOs,
  { diskBytes }: InspectedDisks,
): IncomingData {
  return { disk: index, from: reference, isRaw: definition.builtin, plainBytes, originalSize: size, targetBytes: diskBytes[index] };
}

/** The dumps of an export to import: those of the disks asked for, or all. @throws GantryError `DISK_TOO_FEW`, `DUMP_MISSING` */
export function selectDumps(
  found: StoredExport,
  { instance, disks }: { readonly instance: Instance; readonly disks?: readonly number[] | undefined },
): readonly StoredDump[] {
  const missing = disks?.find((index) => !found.dumps.some((dump) => dump.index === index));
  if (missing !== undefined) {
    throw new GantryError('DUMP_MISSING', {
      message: `${found.reference} has no dump of disk ${missing}`,
      hint: `It has dumps of: ${found.dumps.map(({ index }) => `disk ${index}`).join(', ')}.`,
      disk: missing,
    });
  }
  if (disks === undefined)
    assertEnoughDisks(
      found.dumps.map(({ index }) => index),
      found.reference,
      instance,
    );
  return disks === undefined ? found.dumps : found.dumps.filter(({ index }) => disks.includes(index));
}

/** Warns of disks without a dump: an import that skips disks must not look like one of all disks. */
export function warnOfMissing({ reference, dumps, manifest, config }: StoredExport, targets: number, reporter: Reporter): void {
  if (dumps.length === 0 && targets > 0) reporter.warn(`${reference} has no dump of any disk: nothing is written`);
  else {
    const known = manifest?.instance.disks.map((_, index) => index) ?? config?.disks.map(({ index }) => index) ?? [];
    for (const index of known.filter((index) => !dumps.some((dump) => dump.index === index)))
      reporter.warn(`${reference} has no dump of this disk, which was not exported: it is not changed`, index);
  }
}

/** What is known of the disks that the dumps were made from, before the first byte is read. */
export async function findOriginals(
  found: StoredExport,
  dumps: readonly StoredDump[],
  signal: AbortSignal,
): Promise<readonly OriginalDisk[]> {
  const sizes = await found.checkDumpsPresent({ disks: dumps.map(({ index }) => index), signal });
  return dumps.map(({ index, record, codec, diskSize }, place) => ({
    index,
    plainBytes: record?.plainBytes ?? (isStoredPlain(codec) ? sizes[place]?.size : undefined),
    size: diskSize,
  }));
}
