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

/** What starts there, or is forgotten here, needs all of its disks there. @throws GantryError `USAGE` */
export function assertAllMoved(
  { name, disks }: Instance,
  selected: readonly number[],
  { starts, undefines }: { readonly starts: boolean; readonly undefines: boolean },
): void {
  const others = [...disks.keys()].filter((disk) => !selected.includes(disk));
  if (others.length === 0 || (!starts && !undefines)) return;
  throw new GantryError('USAGE', {
    message: `${name} is to be ${undefines ? 'removed here' : 'started on the peer'}, but not all of its disks are moved: ${others.join(', ')} would stay here`,
    hint: `Move all disks, or leave ${undefines ? '--undefine-source' : '--start'} out and do it yourself when the others are there.`,
  });
}
