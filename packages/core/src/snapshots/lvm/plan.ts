import type { Support } from '../provider.ts';
import type { SnapshotSize } from '../snapshot-size.ts';
import { snapshotBytes } from '../snapshot-size.ts';
import type { VolumeReport } from './commands.ts';
import { reportVolumes } from './commands.ts';
import { MAX_POOL_FILL_AT_START } from './fill.ts';

const MIB = 1024 * 1024;

/** Where nothing else is asked for: this share of the volume, and at least this many bytes. */
const DEFAULT_SIZE = { percent: 20 };
const MIN_DEFAULT_BYTES = 256 * MIB;

/** What the snapshot of one volume will be. */
export type VolumePlan = {
  readonly volume: VolumeReport;
  /** How much of its beginning is the disk; all where absent. */
  readonly viewBytes?: number;
} & ({ readonly kind: 'classic'; readonly bytes: number } | { readonly kind: 'thin'; readonly pool: VolumeReport });

/** A plan, or why there is none. `isObstacle` is about the moment: too little space, say. */
export type PlannedVolume = { readonly plan: VolumePlan } | Extract<Support, { readonly ok: false }>;

/** Segment types that are parts of others, and what LVM takes no snapshots of. */
const UNFIT: Readonly<Record<string, string>> = {
  'thin-pool': 'it is a thin pool',
  'cache-pool': 'it is a cache pool',
  'vdo-pool': 'it is a VDO pool',
  snapshot: 'it is a classic snapshot itself, and LVM takes none of those',
};

/**
 * Says what a snapshot of a volume would be. Changes nothing.
 * @throws Error where LVM cannot be asked about the pool of a thin volume; the signal's reason
 */
export async function planVolume(volume: VolumeReport, size: SnapshotSize | undefined, signal: AbortSignal): Promise<PlannedVolume> {
  const unfit = UNFIT[volume.segtype];
  if (unfit !== undefined) return { ok: false, reason: unfit };
  const state = whyGroupUnusable(volume);
  if (state !== undefined) return obstacle(volume, state);
  return volume.pool_lv === '' || volume.segtype !== 'thin' ? planClassic(volume, size) : planThin(volume, signal);
}

/** Completes "a snapshot would be …". */
export function describePlan(plan: VolumePlan): string {
  const name = volumeName(plan.volume);
  if (plan.kind === 'thin')
    return `a thin snapshot of ${name} in pool ${volumeName(plan.pool)} (data ${plan.pool.data_percent} % full, metadata ${plan.pool.metadata_percent} %)`;
  return `a classic snapshot of ${name} with ${mebibytes(plan.bytes)} of the ${mebibytes(plan.volume.vg_free)} that are free in group ${plan.volume.vg_name}`;
}

export function volumeName({ vg_name: group, lv_name: name }: VolumeReport): string {
  return `${group}/${name}`;
}

/** The group must hold the snapshots of all its volumes together. Gives the reason why it does not. */
export function whyTooLittle(plans: readonly VolumePlan[]): string | undefined {
  const groups = Map.groupBy(
    plans.flatMap((plan) => (plan.kind === 'classic' ? plan : [])),
    ({ volume }) => volume.vg_uuid,
  );
  for (const [first, ...others] of groups.values()) {
    if (first === undefined) continue;
    const total = [first, ...others].reduce((sum, { bytes }) => sum + bytes, 0);
    if (total > first.volume.vg_free) return tooLittle(first.volume, total);
  }
  return undefined;
}

function planClassic(volume: VolumeReport, size: SnapshotSize | undefined): PlannedVolume {
  const wanted = size === undefined ? defaultBytes(volume.lv_size) : snapshotBytes(size, volume.lv_size);
  const extent = volume.vg_extent_size;
  const bytes = Math.ceil(Math.min(wanted, maxUsefulBytes(volume)) / extent) * extent;
  if (bytes > volume.vg_free) return obstacle(volume, tooLittle(volume, bytes));
  return { plan: { kind: 'classic', volume, bytes } };
}

async function planThin(volume: VolumeReport, signal: AbortSignal): Promise<PlannedVolume> {
  const [pool] = await reportVolumes({ vg_uuid: volume.vg_uuid, lv_name: volume.pool_lv }, signal);
  if (pool === undefined) return obstacle(volume, `LVM does not know its thin pool ${volume.pool_lv}`);
  if (pool.lv_health_status !== '') return obstacle(volume, `thin pool ${volumeName(pool)} is not healthy: ${pool.lv_health_status}`);
  for (const [what, percent] of [['data', pool.data_percent] as const, ['metadata', pool.metadata_percent] as const]) {
    if (!(Number(percent) < MAX_POOL_FILL_AT_START * 100))
      return obstacle(volume, `the ${what} space of thin pool ${volumeName(pool)} is ${percent} % full: a snapshot could fill it up`);
  }
  return { plan: { kind: 'thin', volume, pool } };
}

function whyGroupUnusable({ vg_name: name, vg_permissions: permissions, vg_exported: exported, vg_partial: partial }: VolumeReport) {
  if (permissions === 'read-only') return `volume group ${name} is read-only`;
  if (exported !== '') return `volume group ${name} is exported (vgexport)`;
  if (partial !== '') return `volume group ${name} lacks a physical volume`;
  return undefined;
}

function obstacle({ lv_device_open: open }: VolumeReport, reason: string): Extract<Support, { readonly ok: false }> {
  return { ok: false, reason, isObstacle: open !== '' };
}

function tooLittle({ vg_name: name, vg_free: free }: VolumeReport, bytes: number): string {
  return `volume group ${name} has ${mebibytes(free)} free, and ${mebibytes(bytes)} are wanted (--snapshot-size)`;
}

function defaultBytes(volumeBytes: number): number {
  return Math.max(snapshotBytes(DEFAULT_SIZE, volumeBytes), MIN_DEFAULT_BYTES);
}

/** A snapshot that has room for all of its volume: with 16 bytes for each chunk of 4 KiB, and whole extents. LVM makes none that is larger. */
function maxUsefulBytes({ lv_size: bytes, vg_extent_size: extent }: VolumeReport): number {
  return bytes + Math.ceil(bytes / 128) + extent;
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / MIB)} MiB`;
}
