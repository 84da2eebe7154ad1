import type { DiskBackendType, InstanceFields } from '@gantry/core/inventory';
import { InventoryError, isSameHost } from '@gantry/core/inventory';
import type { DetailsAnswer, DiskAnswer } from './answers.ts';
import { pythonText } from './python-text.ts';

type DiskFields = NonNullable<InstanceFields['disks']>[number];

const DRBD = 'drbd';

/** The disks as an instance file has them, with their paths on the primary node. @throws InventoryError `failed` where a path is not known */
export function describeDisks({ name, disks, hv_actual: hypervisor }: DetailsAnswer): readonly DiskFields[] {
  return disks.map((disk, index) => {
    const path = pathOf(disk);
    if (path === undefined) throw unknownPath(name, index, disk);
    return {
      path,
      size: disk.size,
      access: accessOf(disk.mode),
      name: disk.name ?? undefined,
      uuid: disk.uuid ?? undefined,
      backend_type: backendOf(disk),
      frontend_type: typeof hypervisor['disk_type'] === 'string' && hypervisor['disk_type'] !== '' ? hypervisor['disk_type'] : undefined,
    };
  });
}

/**
 * What must not be written to while the instance runs: its disks and the volumes under them, under the names that they have on the node
 * with the host name `here` if that is its secondary one, else on the primary.
 */
export function guardedPlaces({ disks, snodes }: DetailsAnswer, here: string): readonly string[] {
  const isSecondary = snodes.some((node) => isSameHost(node, here));
  return [...new Set(disks.flatMap((disk) => placesOf(disk, isSecondary)))];
}

function placesOf(disk: DiskAnswer, isSecondary: boolean): readonly string[] {
  const places = [isSecondary ? disk.sstatus?.[0] : disk.pstatus?.[0], staticPath(disk, isSecondary)];
  return [...places.filter((place) => place !== undefined), ...(disk.children ?? []).flatMap((child) => placesOf(child, isSecondary))];
}

/** Where the disk is on the primary node: as the node says, which it does for one that is active, else by what is configured. */
function pathOf(disk: DiskAnswer): string | undefined {
  return disk.pstatus?.[0] ?? staticPath(disk, false);
}

/** Of templates whose disks have a place of their own, whether they are active or not. */
function staticPath({ dev_type: type, logical_id: id, drbd_info: drbd }: DiskAnswer, isSecondary: boolean): string | undefined {
  const [first, second] = id ?? [];
  if (type === DRBD) return drbd == null ? undefined : `/dev/drbd${isSecondary ? drbd.secondary_minor : drbd.primary_minor}`;
  if (typeof second !== 'string') return undefined;
  if (type === 'plain') return typeof first === 'string' ? `/dev/${first}/${second}` : undefined;
  return ['file', 'sharedfile', 'blockdev'].includes(type) && second.startsWith('/') ? second : undefined;
}

const FILE_BACKENDS: ReadonlyMap<string, DiskBackendType> = new Map(
  (['file:loop', 'file:blktap', 'file:blktap2'] as const).map((backend) => [backend, backend]),
);

function backendOf({ dev_type: type, logical_id: id }: DiskAnswer): DiskBackendType | undefined {
  return ['file', 'sharedfile', 'gluster'].includes(type) ? FILE_BACKENDS.get(`file:${pythonText(id?.[0])}`) : 'block';
}

function accessOf(mode: string): 'rw' | 'ro' {
  if (mode === 'ro' || mode === 'rw') return mode;
  throw new InventoryError('failed', { message: `a disk has the mode ${JSON.stringify(mode)}, neither rw nor ro` });
}

function unknownPath(name: string, index: number, { dev_type: type }: DiskAnswer): InventoryError {
  return new InventoryError('failed', {
    message: `the path of disk ${index} of ${name} is not known: its template is ${type}, and it is not active`,
    hint: `On the master: gnt-instance activate-disks ${name}`,
  });
}
