import { GantryError } from '../report/errors.ts';
import type { DiskStats } from './disk-stats.ts';
import { readDiskStats } from './disk-stats.ts';
import type { Disk, Instance } from '../instances/model.ts';

const MIB = 1024 ** 2;

export interface InspectDisksOptions {
  /** `import` and `create` need to write, `export` to read. */
  readonly purpose: 'export' | 'import' | 'create';
  /** The disks that the operation touches, by index; all where absent. */
  readonly disks?: readonly number[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface InspectedDisks {
  /** With `size` and `backend_type` of every disk that could be looked at; what the instance file says is kept. */
  readonly instance: Instance;
  /** Bytes of each disk by index; undefined for what has a URI alone, or is not touched and could not be looked at. */
  readonly diskBytes: readonly (number | undefined)[];
  /** What the user should know although nothing failed. */
  readonly warnings: readonly { readonly disk: number; readonly message: string }[];
}

/**
 * Looks at the disks of an instance before anything is touched: they are there, are devices or files, each a different one, and can
 * be opened as the operation needs it. Disks that it does not touch are looked at too, since scripts are told of them, but may be
 * missing.
 *
 * @throws GantryError `DISK_UNKNOWN`, `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `DISK_IO`, and
 *   `INSTANCE_INVALID` where two disks are the same device or file
 */
export async function inspectDisks(instance: Instance, options: InspectDisksOptions): Promise<InspectedDisks> {
  const touched = new Set(options.disks ?? instance.disks.keys());
  assertKnown(instance, touched);
  const stats: (DiskStats | undefined)[] = [];
  for (const [index, disk] of instance.disks.entries()) {
    options.signal?.throwIfAborted();
    stats.push(touched.has(index) ? await inspectTouched(disk, index, options.purpose) : await inspectOther(disk, index));
  }
  options.signal?.throwIfAborted();
  assertDifferent(instance, stats);
  return {
    instance: { ...instance, disks: instance.disks.map((disk, index) => fillIn(disk, stats[index])) },
    diskBytes: stats.map((found) => found?.bytes),
    warnings: instance.disks.flatMap((disk, index) => compareSize(disk, index, stats[index])),
  };
}

function assertKnown(instance: Instance, touched: ReadonlySet<number>): void {
  const unknown = [...touched].find((index) => instance.disks[index] === undefined);
  if (unknown === undefined) return;
  throw new GantryError('DISK_UNKNOWN', {
    message: `${instance.name} has no disk ${unknown}: it has ${instance.disks.length}, counted from 0`,
    hint: 'Name disks by their place in the instance file.',
    disk: unknown,
  });
}

async function inspectTouched(disk: Disk, index: number, purpose: InspectDisksOptions['purpose']): Promise<DiskStats | undefined> {
  const writes = purpose !== 'export';
  if (writes && disk.access === 'ro') {
    throw new GantryError('DISK_READ_ONLY', {
      message: `disk ${index}, ${disk.path ?? disk.uri ?? ''}, has "access: ro" in the instance file`,
      hint: 'Say "access: rw" if it may be overwritten.',
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
      message: `disks ${first} and ${index} of ${instance.name} are one and the same: ${instance.disks[first]?.path} and ${instance.disks[index]?.path}`,
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
  const message = `${disk.path} has ${mebibytes(stats.bytes)} MiB; scripts are told ${disk.size}, as the instance file says`;
  return [{ disk: index, message }];
}

/** Rounded up: a disk is never smaller than it says. */
function mebibytes(bytes: number): number {
  return Math.ceil(bytes / MIB);
}
