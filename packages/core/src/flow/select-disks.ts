import { GantryError } from '../report/errors.ts';
import type { Instance } from '../instances/model.ts';

/**
 * The indexes of the disks to work on, sorted, without duplicates: those requested, or all. Whether the instance has them is checked when
 * they are inspected.
 *
 * @throws GantryError `DISK_TOO_FEW` if there are none: an export of nothing would look like a backup
 */
export function selectDisks({ name, disks }: Instance, wanted: readonly number[] | undefined): readonly number[] {
  const selected = [...new Set(wanted ?? disks.keys())].toSorted((a, b) => a - b);
  if (selected.length > 0) return selected;
  throw new GantryError('DISK_TOO_FEW', {
    message: `${name} has no disks: there is nothing to export or to move`,
    hint: 'Describe its disks in the instance file.',
  });
}
