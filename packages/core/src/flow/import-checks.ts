import { GantryError } from '../report/errors.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import type { Reporter } from '../report/reporter.ts';
import { parseOsName } from '../scripts/os-name.ts';
import type { SelectedOs } from '../scripts/select.ts';

/*
 * What is checked before data is written to the disks of an instance, by an import or a move.
 */

const MIB = 1024 * 1024;

/** What is known of the disk that a dump was made from. */
export interface OriginalDisk {
  readonly index: number;
  /** Bytes of the plain data. */
  readonly plainBytes: number | undefined;
  /** MiB, rounded up. */
  readonly size: number | undefined;
}

/**
 * Only the definition whose script wrote the data can be expected to read it.
 *
 * @param exported the `os` or `os+variant` that made the dumps
 * @param from where the dumps come from, in words
 * @throws GantryError `OS_MISMATCH`
 */
export function assertSameOs({ definition }: SelectedOs, exported: string, from: string, allowed: boolean): void {
  const { name } = parseOsName(exported);
  if (allowed || name === definition.name) return;
  throw new GantryError('OS_MISMATCH', {
    message: `${from} was made with the OS definition ${name}, but the instance file says ${definition.name}`,
    hint: `Set os to ${exported} in the instance file, or add --allow-other-os if ${definition.name} can read what ${name} wrote.`,
  });
}

/** Finds disks that are too small before the first byte is written. @throws GantryError `DISK_TOO_SMALL` */
export function assertRoom(
  os: SelectedOs,
  originals: readonly OriginalDisk[],
  from: string,
  { diskBytes, instance }: InspectedDisks,
  reporter: Reporter,
): void {
  for (const { index, plainBytes, size } of originals) {
    const room = diskBytes[index];
    if (room === undefined) continue;
    if (os.definition.builtin && plainBytes !== undefined && room < plainBytes) {
      throw new GantryError('DISK_TOO_SMALL', {
        message: `disk ${index} (${instance.disks[index]?.path}) has ${room} bytes, but the disk in ${from} had ${plainBytes}`,
        hint: 'Enlarge it, or use another disk.',
        disk: index,
      });
    }
    if (os.definition.builtin && plainBytes !== undefined && plainBytes < room) {
      reporter.warn(
        `it has ${room} bytes, the disk in ${from} had ${plainBytes}: its last ${room - plainBytes} bytes are not changed`,
        index,
      );
    }
    if (!os.definition.builtin && size !== undefined && Math.ceil(room / MIB) > size) {
      reporter.warn(`it has ${Math.ceil(room / MIB)} MiB, the exported disk had ${size} MiB`, index);
    }
    if (!os.definition.builtin && size !== undefined && Math.ceil(room / MIB) < size) {
      reporter.warn(
        `it has ${Math.ceil(room / MIB)} MiB, the exported disk had ${size} MiB: the import script may run out of space`,
        index,
      );
    }
  }
}

/** @throws GantryError `DISK_TOO_FEW` */
export function assertEnoughDisks(
  indexes: readonly number[],
  from: string,
  instance: { readonly name: string; readonly disks: readonly unknown[] },
): void {
  const needed = Math.max(-1, ...indexes) + 1;
  if (needed <= instance.disks.length) return;
  throw new GantryError('DISK_TOO_FEW', {
    message: `${from} has ${needed} disks, but ${instance.name} has only ${instance.disks.length}`,
    hint: 'Add disks to the instance file, or import only some disks with --disk.',
  });
}

/** An instance becomes known whose other disks were not written. */
export function warnOfOtherDisks(
  { name, disks }: { readonly name: string; readonly disks: readonly unknown[] },
  indexes: readonly number[],
  { how, reporter }: { readonly how: 'imported' | 'moved'; readonly reporter: Reporter },
): void {
  const others = [...disks.keys()].filter((disk) => !indexes.includes(disk));
  if (others.length > 0) reporter.warn(`${name} will be defined with disks that are not ${how}: ${others.join(', ')}`);
}
