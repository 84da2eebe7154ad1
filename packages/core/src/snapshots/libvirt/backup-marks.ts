import { basename } from 'node:path';

import { readDirtyRanges } from '../../disks/read-nbd.ts';
import { errorText } from '../../report/error-text.ts';
import type { ChangeMark, Snapshot, SnapshotContext, SnapshotOverNbd } from '../provider.ts';
import { beginMarks, closeMarks } from '../qemu/change-marks.ts';
import type { Monitor, QmpCommand } from '../qemu/qmp-client.ts';
import type { PlannedMarks } from './change-marks.ts';
import { bitmapMark, checkpointMark } from './change-marks.ts';
import type { CheckpointDisk } from './checkpoints.ts';
import type { LibvirtGuest } from './find-disk.ts';

/** What libvirt calls the bitmap of each disk in a backup that goes on from a checkpoint. */
export const SINCE_BITMAP = 'gantry-since';

export interface BackupMarksOptions {
  readonly guest: LibvirtGuest;
  readonly monitor: Monitor;
  /** Of the backup, over which the guest's QEMU serves NBD. */
  readonly socket: string;
  readonly context: Pick<SnapshotContext, 'note' | 'signal'>;
}

/** The marks that one backup leaves and goes on from. Where they cannot be used, everything is read. */
export class BackupMarks {
  readonly #options: BackupMarksOptions;
  #planned: PlannedMarks;

  constructor(planned: PlannedMarks, options: BackupMarksOptions) {
    this.#planned = planned;
    this.#options = options;
  }

  /** Undefined if the backup leaves none. */
  get checkpoint(): PlannedMarks['checkpoint'] {
    return this.#planned.checkpoint;
  }

  /** The checkpoint that a disk goes on from. */
  checkpointBefore(target: string): string | undefined {
    return this.#planned.checkpoint?.disks.find((disk) => disk.target === target)?.since;
  }

  /** For images that cannot keep bitmaps. */
  leaveNoCheckpoint(why: string): void {
    this.#options.context.note?.(`libvirt cannot make a checkpoint: ${why}`);
    this.#planned = { ...this.#planned, checkpoint: undefined };
  }

  /** Before the backup. @throws the signal's reason */
  async begin(): Promise<void> {
    const why = await this.#attempt(() => this.#execute(beginMarks(this.#planned.bitmaps)));
    if (why === undefined) return;
    this.#options.context.note?.(`QEMU cannot record what changes: ${why}`);
    this.#planned = { ...this.#planned, bitmaps: [] };
  }

  /** When the backup has started: closes the earlier bitmaps, and offers them beside its disks until it ends. @throws the signal's reason */
  async offer(): Promise<void> {
    const { monitor, socket } = this.#options;
    const why = await this.#attempt(async () => {
      await this.#execute(closeMarks(this.#planned.bitmaps));
      for (const { index, node, since } of this.#planned.bitmaps) {
        if (since === undefined) continue;
        const offered = { type: 'nbd', id: `${basename(socket, '.sock')}-${index}`, 'node-name': node, name: bitmapExport(index) };
        await monitor.execute('block-export-add', { ...offered, bitmaps: [since] });
      }
    });
    if (why === undefined) return;
    const bitmaps = this.#planned.bitmaps.map((mark) => ({ whyAll: `QEMU cannot say it: ${why}`, ...mark, since: undefined }));
    this.#planned = { ...this.#planned, bitmaps };
  }

  changesOf(index: number, nbd: SnapshotOverNbd): Pick<Snapshot, 'changes'> {
    const { guest, socket } = this.#options;
    const { bitmaps, checkpoint } = this.#planned;
    const bitmap = bitmaps.find((mark) => mark.index === index);
    if (bitmap !== undefined) {
      const at = { socket, exportName: bitmapExport(index) };
      return changes(bitmapMark(bitmap.next, guest), bitmap, at, bitmap.since);
    }
    const disk = checkpoint?.disks.find((each) => each.index === index);
    if (checkpoint === undefined || disk === undefined) return {};
    return changes(checkpointMark(checkpoint.name, disk, guest), disk, nbd, SINCE_BITMAP);
  }

  /** @returns why it failed */
  async #attempt(work: () => Promise<void>): Promise<string | undefined> {
    try {
      await work();
      return undefined;
    } catch (error) {
      this.#options.context.signal.throwIfAborted();
      return errorText(error);
    }
  }

  async #execute(commands: readonly QmpCommand[]): Promise<void> {
    for (const { execute, arguments: parameters } of commands) await this.#options.monitor.execute(execute, parameters);
  }
}

function bitmapExport(index: number): string {
  return `gantry-since-${index}`;
}

function changes(
  mark: ChangeMark,
  { since, whyAll = 'there is no earlier mark' }: Pick<CheckpointDisk, 'since' | 'whyAll'>,
  at: SnapshotOverNbd,
  bitmap = '',
): Pick<Snapshot, 'changes'> {
  if (since === undefined) return { changes: { mark, since: { known: false, reason: whyAll } } };
  return { changes: { mark, since: { known: true, ranges: (signal) => readDirtyRanges(at, bitmap, signal) } } };
}
