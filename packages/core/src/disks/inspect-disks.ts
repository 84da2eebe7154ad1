import { GantryError } from '../report/errors.ts';
import type { DiskStats } from './disk-stats.ts';
import { readDiskStats } from './disk-stats.ts';
import type { Disk, Instance } from '../instances/model.ts';

const MIB = 1024 ** 2;

export interface InspectDisksOptions {
  /** `import` and `create` need to write, `export` to read. */
  readonly purpose: 'export' | 'import' | 'create';
  /** The disks that the operation uses, by index; if absent, all. */
  readonly disks?: readonly number[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface InspectedDisks {
  /** With `size` and `backend_type` of every disk that could be examined; values of the instance file are kept. */
  readonly instance: Instance;
  /** Bytes of each disk by index; undefined for a disk with only a URI, and for an unused disk that could not be examined. */
  readonly diskBytes: readonly (number | undefined)[];
  /** What the user should know, although nothing failed. */
  readonly warnings: readonly { readonly disk: number; readonly message: string }[];
}

/**
 * Examines the disks of an instance before anything is changed: they must exist, be different devices or files, and can be opened as
 * the operation requires. Disks that the operation does not use are examined too, because scripts get their sizes, but may be missing.
 *
 * @throws GantryError `DISK_UNKNOWN`, `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `DISK_IO`, and
 *   `INSTANCE_INVALID` if two disks are the same device or file
 */
export async function inspectDisks(instance: Instance, options: InspectDisksOptions): Promise<InspectedDisks> {
  const used = new Set(options.disks ?? instance.disks.keys());
  assertDisksKnown(instance, used);
  const stats: (DiskStats | undefined)[] = [];
  for (const [index, disk] of instance.disks.entries()) {
    options.signal?.throwIfAborted();
    stats.push(used.has(index) ? await inspectUsed(disk, index, options.purpose) : await inspectOther(disk, index));
  }
  options.signal?.throwIfAborted();
  assertDifferent(instance, stats);
  return {
    instance: { ...instance, disks: instance.disks.map((disk, index) => fillIn(disk, stats[index])) },
    diskBytes: stats.map((found) => found?.bytes),
    warnings: instance.disks.flatMap((disk, index) => compareSize(disk, index, stats[index])),
  };
}

/** @param used disks by index @throws GantryError `DISK_UNKNOWN` for one that the instance lacks */
export function assertDisksKnown(instance: Instance, used: Iterable<number>): void {
  const unknown = [...used].find((index) => instance.disks[index] === undefined);
  if (unknown === undefined) return;
  throw new GantryError('DISK_UNKNOWN', {
    message: `${instance.name} has no disk ${unknown}: its disks are numbered from 0, and it has ${instance.disks.length}`,
    hint: 'Use the numbers of disks in the instance file.',
    disk: unknown,
  });
}

async function inspectUsed(disk: Disk, index: number, purpose: InspectDisksOptions['purpose']): Promise<DiskStats | undefined> {
  const writes = purpose !== 'export';
  if (writes && disk.access === 'ro') {
    throw new GantryError('DISK_READ_ONLY', {
      message: `cannot write disk ${index} (${disk.path ?? disk.uri ?? ''}): the instance file says "access: ro"`,
      hint: 'Set "access: rw" if it may be overwritten.',
      disk: index,
    });
  }
  return disk.path === undefined ? undefined : readDiskStats(disk.path, index, writes ? 'write' : 'read');
}

async function inspectOther(disk: Disk, index: number): Promise<DiskStats | undefined> {
  return disk.path === undefined ? undefined : readDiskStats(disk.path, index, 'read').catch(() => undefined);
}

function assertDifferent(instance: Instance, stats: readonly (DiskStats | undefined)[]): void {
  for (const [index, found] of stats.entries()) {
    const first = found === undefined ? index : stats.findIndex((other) => other?.identity === found.identity);
    if (first === index) continue;
    throw new GantryError('INSTANCE_INVALID', {
      message: `disks ${first} and ${index} of ${instance.name} are the same disk: ${instance.disks[first]?.path} and ${instance.disks[index]?.path}`,
      hint: 'Give each disk its own device or file.',
      disk: index,
    });
  }
}

function fillIn(disk: Disk, stats: DiskStats | undefined): Disk {
  if (stats === undefined) return disk;
  return {
    ...disk,
    size: disk.size ?? mebibytes(stats.bytes),
    backend_type: disk.backend_type ?? (stats.kind === 'block' ? 'block' : 'file:loop'),
  };
}

function compareSize(disk: Disk, index: number, stats: DiskStats | undefined): { disk: number; message: string }[] {
  if (stats === undefined || disk.size === undefined || disk.size === mebibytes(stats.bytes)) return [];
  const message = `${disk.path} has ${mebibytes(stats.bytes)} MiB, but the instance file says ${disk.size}: scripts get ${disk.size}`;
  return [{ disk: index, message }];
}

/** Rounded up, so that the disk has at most this size. */
function mebibytes(bytes: number): number {
  return Math.ceil(bytes / MIB);
}
