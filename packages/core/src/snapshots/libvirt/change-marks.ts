import { z } from 'zod';

import { errorText } from '../../report/error-text.ts';
import type { MarksKept } from '../mark-fate.ts';
import { MARKS_KEPT } from '../mark-fate.ts';
import type { AskedMark } from '../asked-mark.ts';
import { askedMark } from '../asked-mark.ts';
import type { ChangeMark, SnapshotContext, SnapshotRequest } from '../provider.ts';
import type { MarkedDisk, PlannedMark } from '../qemu/change-marks.ts';
import { markedDiskSchema, MARK_NAME, newMarkName, planBitmap, removeBitmap, settleMarks as settleBitmaps } from '../qemu/change-marks.ts';
import { insertedNodes } from '../qemu/guest-disks.ts';
import type { CheckpointDisk, PlannedCheckpoint } from './checkpoints.ts';
import { removeCheckpoint, usableCheckpoint } from './checkpoints.ts';
import type { KnownDisk, LibvirtGuest } from './find-disk.ts';
import { imageIdentity } from './image-identity.ts';
import { monitorOf } from './monitor.ts';
import { isGone, Virsh } from './virsh.ts';

/*
 * What changes on the disks of a guest of libvirt. Images in qcow2 keep bitmaps: they get a checkpoint of libvirt, in the moment of the
 * backup. For all others, Gantry has QEMU record bitmaps in memory: each begins a little before the backup and is closed a little after
 * it, so that it has a little more than what changed, and never less.
 */

/** As it is planned. */
export interface PlannedMarks {
  readonly bitmaps: readonly PlannedMark[];
  readonly checkpoint: PlannedCheckpoint | undefined;
}

/** As the journal has it. */
export interface MarksRecord {
  readonly bitmaps: readonly MarkedDisk[];
  readonly checkpoint?: { readonly next: string; readonly since: readonly string[] } | undefined;
  readonly kept: MarksKept;
}

const markName = z.string().regex(MARK_NAME);
export const marksRecordSchema: z.ZodType<MarksRecord> = z.object({
  bitmaps: z.array(markedDiskSchema),
  checkpoint: z.object({ next: markName, since: z.array(markName) }).optional(),
  kept: z.enum(MARKS_KEPT),
});

/** Of a bitmap of one domain. */
export function bitmapMark(name: string, guest: LibvirtGuest): ChangeMark {
  return markOf(name, 'bitmap', guest);
}

/** Of one disk of a checkpoint. The checkpoint has one name for all its disks: `image` says whose changes are meant. */
export function checkpointMark(name: string, { image }: CheckpointDisk, guest: LibvirtGuest): ChangeMark {
  return markOf(name, `checkpoint:${image}`, guest);
}

function markOf(name: string, way: string, { uuid, uri }: LibvirtGuest): ChangeMark {
  return { provider: 'libvirt', name: `${name} ${way} ${uuid} ${uri}` };
}

interface Mark {
  readonly name: string;
  readonly way: string;
  /** As {@link imageIdentity} has it; of a checkpoint alone. */
  readonly image: string | undefined;
  readonly uuid: string;
  readonly uri: string;
}

function parseMark(mark: ChangeMark): Mark | undefined {
  const [, name = '', way = '', image, uuid = '', uri = ''] = /^(\S+) ([a-z]+)(?::(\S+))? (\S+) (.+)$/s.exec(mark.name) ?? [];
  return MARK_NAME.test(name) ? { name, way, image, uuid, uri } : undefined;
}

interface TrackedDisk {
  readonly index: number;
  readonly disk: KnownDisk;
  readonly track: NonNullable<SnapshotRequest['track']>;
}

export interface PlanOptions {
  readonly virsh: Virsh;
  readonly guest: LibvirtGuest;
  readonly disks: readonly { readonly request: SnapshotRequest; readonly disk: KnownDisk }[];
  readonly context: Pick<SnapshotContext, 'note' | 'signal'>;
}

/** Decides which marks are used, ahead of the backup. Changes nothing. */
export async function planMarks(options: PlanOptions): Promise<PlannedMarks> {
  const tracked = options.disks.flatMap(({ request: { index, track }, disk }) => (track === undefined ? [] : [{ index, disk, track }]));
  const { qcow2: images = [], other: others = [] } = Object.groupBy(tracked, ({ disk }) => (disk.format === 'qcow2' ? 'qcow2' : 'other'));
  return { bitmaps: await planBitmaps(others, options), checkpoint: await planCheckpoint(images, options) };
}

/** A QEMU whose monitor cannot be used gets no bitmaps. */
async function planBitmaps(tracked: readonly TrackedDisk[], { virsh, guest, context }: PlanOptions): Promise<readonly PlannedMark[]> {
  if (tracked.length === 0) return [];
  const planned: PlannedMark[] = [];
  try {
    const monitor = monitorOf(virsh, guest.uuid, context.signal);
    const nodes = new Map([...(await insertedNodes(monitor))].map(([qdev, node]) => [deviceOf(qdev), node]));
    for (const { index, disk, track } of tracked) {
      const node = nodes.get(disk.alias ?? '');
      if (node !== undefined) planned.push(await planBitmap(monitor, index, node, nameOf(track)));
    }
    return planned;
  } catch (error) {
    context.signal.throwIfAborted();
    context.note?.(`libvirt cannot have QEMU record what changes: ${errorText(error)}`);
    return [];
  }
}

/** The id of a device, which libvirt calls its alias. The disk of virtio is a part of it. */
function deviceOf(qdev: string): string {
  return qdev.replace(/^\/machine\/peripheral\//, '').replace(/\/virtio-backend$/, '');
}

async function planCheckpoint(
  tracked: readonly TrackedDisk[],
  { virsh, guest: { uuid }, context: { signal } }: PlanOptions,
): Promise<PlannedCheckpoint | undefined> {
  if (tracked.length === 0) return undefined;
  const disks: PlannedCheckpoint['disks'][number][] = [];
  for (const { index, disk, track } of tracked) {
    const [{ target }, image] = [disk, await imageIdentity(disk)];
    disks.push({ index, target, image, ...(await usableCheckpoint(virsh, { uuid, target }, checkpointOf(track, image), signal)) });
  }
  return { name: newMarkName(), disks };
}

/** A checkpoint has bitmaps of its name in all its images: that of another one says nothing of this one. */
function checkpointOf(track: TrackedDisk['track'], image: string): AskedMark<string> {
  const asked = askedMark(track, 'libvirt', parseMark);
  if ('whyAll' in asked) return asked;
  return asked.since.image === image ? { since: asked.since.name } : { whyAll: 'the mark is of another disk' };
}

function nameOf(track: TrackedDisk['track']): AskedMark<string> {
  return askedMark(track, 'libvirt', (mark) => parseMark(mark)?.name);
}

/** Undefined if there is nothing to remove later. */
export function recordOf({ bitmaps, checkpoint }: PlannedMarks): MarksRecord | undefined {
  if (bitmaps.length === 0 && checkpoint === undefined) return undefined;
  return {
    bitmaps: bitmaps.map(({ index, node, next, since }) => ({ index, node, next, since })),
    checkpoint: checkpoint && {
      next: checkpoint.name,
      since: [...new Set(checkpoint.disks.flatMap(({ since }) => since ?? []))],
    },
    kept: 'earlier',
  };
}

/** Removes the marks that do not stay. What is done already is not done again. @throws Error with what could not be removed */
export async function settleMarks(
  virsh: Virsh,
  uuid: string,
  { bitmaps, checkpoint, kept }: MarksRecord,
  signal: AbortSignal,
): Promise<void> {
  if (bitmaps.length > 0) await ifThere(settleBitmaps(monitorOf(virsh, uuid, signal), bitmaps, kept));
  if (checkpoint === undefined) return;
  const names = [...(kept === 'latest' ? [] : [checkpoint.next]), ...(kept === 'earlier' ? [] : checkpoint.since)];
  for (const name of names) await removeCheckpoint(virsh, uuid, name, signal);
}

/** @param timeoutS for each answer of libvirt @throws Error with why it is still there; the signal's reason */
export async function forgetMark(mark: ChangeMark, timeoutS: number, signal: AbortSignal): Promise<void> {
  const { name, way, uuid, uri } = parseMark(mark) ?? {};
  if (name === undefined || uuid === undefined || uri === undefined) return;
  const virsh = new Virsh(uri, timeoutS);
  if (way === 'checkpoint') await removeCheckpoint(virsh, uuid, name, signal);
  else await ifThere(removeBitmap(monitorOf(virsh, uuid, signal), name));
}

/** With its QEMU, a bitmap has gone. */
async function ifThere(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isGone(error)) throw error;
  });
}
