import { GantryError } from '../report/errors.ts';
import type { Instance } from '../instances/model.ts';

/**
 * The disks that an operation is about, in order and each once: those that were asked for, else all. Whether the instance has those that were asked for is
 * checked when they are looked at.
 *
 * @throws GantryError `DISK_TOO_FEW` where there are none: an export of nothing would pass for a backup
 */
export function selectDisks({ name, disks }: Instance, wanted: readonly number[] | undefined): readonly number[] {
  const selected = [...new Set(wanted ?? disks.keys())].toSorted((a, b) => a - b);
  if (selected.length > 0) return selected;
  throw new GantryError('DISK_TOO_FEW', {
    message: `${name} has no disks: there is nothing to export or to move`,
    hint: 'Describe its disks in the instance file.',
  });
}
