import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { errorText } from '../../report/error-text.ts';
import type { GantryErrorCode } from '../../report/errors.ts';
import { GantryError } from '../../report/errors.ts';
import type { Fill } from '../fill-watch.ts';
import { FillWatch } from '../fill-watch.ts';
import { noteFormat } from '../image-format.ts';
import type { MarksKept } from '../mark-fate.ts';
import type { PreparedSnapshots, Snapshot, SnapshotContext, SnapshotRequest } from '../provider.ts';
import { freeBytes, lookAtScratch, makeDefaultScratch } from '../scratch-directory.ts';
import { whileFrozen } from './agent-freeze.ts';
import { BackupMarks, SINCE_BITMAP } from './backup-marks.ts';
import { backupXml } from './backup-xml.ts';
import type { PlannedMarks } from './change-marks.ts';
import { planMarks, recordOf } from './change-marks.ts';
import { checkpointXml } from './checkpoints.ts';
import type { Domain } from './domain.ts';
import { domainJob, domainState } from './domain.ts';
import type { KnownDisk, LibvirtGuest } from './find-disk.ts';
import type { LibvirtSettings } from './libvirt-config.ts';
import type { LibvirtRecordData } from './libvirt-record.ts';
import { scratchFilesOf, toLibvirtRecord } from './libvirt-record.ts';
import type { Descriptions } from './make-scratch.ts';
import { assertSocketPath, checkpointOf, descriptionOf, makeScratch, socketDirectory } from './make-scratch.ts';
import { monitorOf } from './monitor.ts';
import type { Virsh } from './virsh.ts';
import { isGone } from './virsh.ts';

const MIB = 1024 * 1024;
/** Between two looks at the free space, ms: QEMU pauses the guest when there is none. */
const LOOK_MS = 500;
const FULL_HINT =
  'Name a scratch directory with more space in the section libvirt of --snapshot-config, or export when the guest writes less.';

type OnWatch = (directory: string, watch: FillWatch) => void;

/** A disk that was asked for, and which one of the domain it is. */
export interface BackedUpDisk {
  readonly request: SnapshotRequest;
  readonly disk: KnownDisk;
}

export interface BackupOptions {
  readonly guest: LibvirtGuest;
  readonly settings: LibvirtSettings;
  readonly virsh: Virsh;
  readonly domain: Domain;
  readonly disks: readonly BackedUpDisk[];
  readonly context: SnapshotContext;
}

/** A backup of disks of one domain, in pull mode. Every step is in the journal before it is taken; core undoes them. */
export class Backup implements PreparedSnapshots {
  readonly #options: BackupOptions;
  #data: LibvirtRecordData;
  readonly #marks: BackupMarks;
  readonly #freeAtFirst: number;
  readonly #onWatch: OnWatch;

  private constructor(options: BackupOptions, data: LibvirtRecordData, marks: PlannedMarks, freeAtFirst: number, onWatch: OnWatch) {
    const { guest, virsh, context } = options;
    this.#options = options;
    this.#data = data;
    this.#marks = new BackupMarks(marks, { guest, monitor: monitorOf(virsh, guest.uuid, context.signal), socket: data.socket, context });
    this.#freeAtFirst = freeAtFirst;
    this.#onWatch = onWatch;
  }

  /**
   * Makes everything that it needs.
   * @param onWatch gets the watch of its scratch space, to be disposed before the backup is released
   */
  static async prepare(options: BackupOptions, onWatch: OnWatch): Promise<Backup> {
    const { guest, settings, domain, disks, context } = options;
    const prefix = `gantry-${createHash('sha256').update(`${context.runId} ${guest.uuid}`).digest('hex').slice(0, 12)}`;
    const directory = join(settings.scratch, prefix);
    const socket = join(await socketDirectory(guest, settings, domain, directory), `${prefix}.sock`);
    assertSocketPath(socket);
    const indexes = disks.map(({ request: { index } }) => index);
    const planned = await planMarks(options);
    const marks = recordOf(planned);
    const data = { uri: guest.uri, uuid: guest.uuid, indexes, directory, socket, marks, timeoutS: settings.timeout };
    const backup = new Backup(options, data, planned, await freeBytes(settings.scratch), onWatch);
    await context.remember(toLibvirtRecord(data));
    if (settings.isDefaultScratch) await makeDefaultScratch(settings.scratch);
    await makeScratch(directory, backup.#descriptions(), domain.owner);
    for (const { request, disk } of disks) noteFormat(request.index, disk.format, context);
    return backup;
  }

  async take(): Promise<void> {
    const { guest, settings, virsh, disks, context } = this.#options;
    const { signal, warn, note } = context;
    try {
      await this.#marks.begin();
      await whileFrozen({ virsh, uuid: guest.uuid, settings, warn, note, signal, remember: (freeze) => this.#remember({ freeze }) }, () =>
        this.#begin(),
      );
    } catch (error) {
      signal.throwIfAborted();
      throw takingFailed(
        disks.map(({ request }) => request),
        error,
      );
    }
  }

  /** An image can be of a version that cannot keep bitmaps: then the backup is made without a checkpoint. */
  async #begin(): Promise<void> {
    const { guest, virsh, context } = this.#options;
    const { signal } = context;
    const { directory } = this.#data;
    const words = ['backup-begin', guest.uuid, '--backupxml', descriptionOf(directory)];
    try {
      const checkpoint = this.#marks.checkpoint === undefined ? [] : ['--checkpointxml', checkpointOf(directory)];
      await virsh.run([...words, ...checkpoint], { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (this.#marks.checkpoint === undefined || !/checkpoint|bitmap/i.test(errorText(error))) throw error;
      this.#marks.leaveNoCheckpoint(errorText(error));
      await writeFile(descriptionOf(directory), this.#descriptions().backup);
      await virsh.run(words, { signal });
    }
  }

  async settleMarks(kept: MarksKept): Promise<void> {
    if (this.#data.marks !== undefined) await this.#remember({ marks: { ...this.#data.marks, kept } });
  }

  async #remember(change: Partial<Pick<LibvirtRecordData, 'freeze' | 'marks'>>): Promise<void> {
    this.#data = { ...this.#data, ...change };
    await this.#options.context.remember(toLibvirtRecord(this.#data));
  }

  async open(): Promise<readonly Snapshot[]> {
    const { settings, disks, context } = this.#options;
    await this.#marks.offer();
    const [first = -1, ...others] = this.#data.indexes;
    const watch = new FillWatch({
      disk: first,
      others,
      look: (signal, isLast) => this.#look(settings, signal, isLast),
      warn: context.warn,
      fullHint: FULL_HINT,
      intervalMs: LOOK_MS,
    });
    this.#onWatch(this.#data.directory, watch);
    return disks.map((disk) => this.#snapshot(disk, watch));
  }

  #snapshot({ request: { index }, disk: { target, capacity } }: BackedUpDisk, watch: FillWatch): Snapshot {
    const nbd = { socket: this.#data.socket, exportName: target };
    const { lost } = watch;
    const assertIntact = (): Promise<void> => watch.assertIntact();
    return { index, kind: 'libvirt', nbd, bytes: capacity, lost, assertIntact, ...this.#marks.changesOf(index, nbd) };
  }

  #descriptions(): Descriptions {
    const { domain, disks } = this.#options;
    const wanted = new Set(disks.map(({ disk: { target } }) => target));
    const files = scratchFilesOf(this.#data.directory);
    const targets = domain.disks.map(({ target }) => target);
    const all = targets.map((target) => {
      const checkpoint = this.#marks.checkpointBefore(target);
      const since = checkpoint === undefined ? undefined : { checkpoint, bitmap: SINCE_BITMAP };
      return wanted.has(target) ? { target, scratch: join(files, target), since } : { target };
    });
    const { checkpoint } = this.#marks;
    return { backup: backupXml(this.#data.socket, all), checkpoint: checkpoint && checkpointXml(checkpoint, targets) };
  }

  async #look({ scratch, reserve }: LibvirtSettings, signal: AbortSignal, isLast: boolean): Promise<Fill> {
    const fill = await lookAtScratch({ directory: scratch, reserve: reserve * MIB, freeAtFirst: this.#freeAtFirst });
    if ('lost' in fill || !isLast) return fill;
    const lost = await this.#whyEnded(signal);
    return lost === undefined ? fill : { lost, isFull: false };
  }

  async #whyEnded(signal: AbortSignal): Promise<string | undefined> {
    const { virsh, guest } = this.#options;
    try {
      const { state, reason } = await domainState(virsh, guest.uuid, { signal });
      if (state !== 'running' && state !== 'paused') return `its guest does not run any more (${state}: ${reason})`;
      const job = await domainJob(virsh, guest.uuid, { signal });
      return job === 'Backup' ? undefined : 'libvirt has ended the backup';
    } catch (error) {
      if (!isGone(error)) throw error;
      return 'its guest does not run any more';
    }
  }
}

export function takingFailed(requests: readonly SnapshotRequest[], error: unknown): GantryError {
  if (error instanceof GantryError) return error;
  const reason = errorText(error);
  return libvirtFailed(/no space/i.test(reason) ? 'SNAPSHOT_FULL' : 'SNAPSHOT_FAILED', requests, reason, error);
}

export function libvirtFailed(code: GantryErrorCode, requests: readonly SnapshotRequest[], reason: string, cause?: unknown): GantryError {
  const [index] = requests.map((request) => request.index);
  return new GantryError(code, {
    message: `cannot take a libvirt snapshot of disk ${requests.map((request) => request.index).join(', ')}: ${reason}`,
    hint: code === 'SNAPSHOT_FULL' ? FULL_HINT : 'gantry snapshots check says what would be taken; --snapshot takes another kind.',
    ...(index === undefined ? {} : { disk: index }),
    cause,
  });
}
