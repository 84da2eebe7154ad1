import { GantryError } from '../report/errors.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import type { Reporter } from '../report/reporter.ts';
import { parseOsName } from '../scripts/os-name.ts';
import type { SelectedOs } from '../scripts/select.ts';

/*
 * What is checked before an export, wherever it comes from, is written to the disks of an instance.
 */

const MIB = 1024 * 1024;

/** The disk that a dump was made of, as far as it is known. */
export interface OriginalDisk {
  readonly index: number;
  /** Bytes of the plain dump. */
  readonly plainBytes: number | undefined;
  /** MiB, rounded up. */
  readonly size: number | undefined;
}

/**
 * What a script wrote is for its own definition to read.
 *
 * @param exported the `os` or `os+variant` that made the dumps
 * @param from what the dumps are of, in words
 * @throws GantryError `OS_MISMATCH`
 */
export function assertSameOs({ definition }: SelectedOs, exported: string, from: string, allowed: boolean): void {
  const { name } = parseOsName(exported);
  if (allowed || name === definition.name) return;
  throw new GantryError('OS_MISMATCH', {
    message: `${from} was made by the OS definition ${name}, and the instance file says ${definition.name}`,
    hint: `Set os to ${exported} in the instance file; or, where ${definition.name} can read what ${name} wrote, add --allow-other-os.`,
  });
}

/** A disk that is too small is found out before the first byte is written. @throws GantryError `DISK_TOO_SMALL` */
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
        message: `disk ${index} (${instance.disks[index]?.path}) has ${room} bytes, and the disk in ${from} had ${plainBytes}`,
        hint: 'Make it at least as large.',
        disk: index,
      });
    }
    if (os.definition.builtin && plainBytes !== undefined && plainBytes < room) {
      reporter.warn(
        `it is larger than the disk in ${from}: ${room} bytes, and ${plainBytes} there; its last ${room - plainBytes} bytes stay as they are`,
        index,
      );
    }
    if (!os.definition.builtin && size !== undefined && Math.ceil(room / MIB) > size) {
      reporter.warn(`it is larger than the disk that was exported: ${Math.ceil(room / MIB)} MiB, and ${size} MiB there`, index);
    }
    if (!os.definition.builtin && size !== undefined && Math.ceil(room / MIB) < size) {
      reporter.warn(`it is smaller than the disk that was exported, which had ${size} MiB: the import script may run out of space`, index);
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
    message: `${from} has ${needed} disks, and ${instance.name} has ${instance.disks.length}`,
    hint: 'Add disks to the instance file, or name with --disk those that are to be imported.',
  });
}
