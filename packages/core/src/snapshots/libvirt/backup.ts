import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { errorText } from '../../report/error-text.ts';
import type { GantryErrorCode } from '../../report/errors.ts';
import { GantryError } from '../../report/errors.ts';
import type { Fill } from '../fill-watch.ts';
import { FillWatch } from '../fill-watch.ts';
import type { PreparedSnapshots, Snapshot, SnapshotContext, SnapshotRequest } from '../provider.ts';
import { freeBytes, lookAtScratch, makeDefaultScratch } from '../scratch-directory.ts';
import { whileFrozen } from './agent-freeze.ts';
import { backupXml } from './backup-xml.ts';
import type { Domain } from './domain.ts';
import { domainJob, domainState } from './domain.ts';
import type { KnownDisk, LibvirtGuest } from './find-disk.ts';
import type { LibvirtSettings } from './libvirt-config.ts';
import type { LibvirtRecordData } from './libvirt-record.ts';
import { scratchFilesOf, toLibvirtRecord } from './libvirt-record.ts';
import { assertSocketPath, descriptionOf, makeScratch, socketDirectory } from './make-scratch.ts';
import type { Virsh } from './virsh.ts';
import { isGone } from './virsh.ts';

const MIB = 1024 * 1024;
/** Between two looks at the free space, ms: QEMU pauses the guest when there is none. */
const LOOK_MS = 500;
const FULL_HINT =
  'Name a scratch directory with more space in the section libvirt of --snapshot-config, or export when the guest writes less.';

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
  readonly #freeAtFirst: number;
  readonly #onWatch: (directory: string, watch: FillWatch) => void;

  private constructor(
    options: BackupOptions,
    data: LibvirtRecordData,
    freeAtFirst: number,
    onWatch: (directory: string, watch: FillWatch) => void,
  ) {
    this.#options = options;
    this.#data = data;
    this.#freeAtFirst = freeAtFirst;
    this.#onWatch = onWatch;
  }

  /**
   * Makes everything that it needs.
   * @param onWatch gets the watch of its scratch space, to be disposed before the backup is released
   */
  static async prepare(options: BackupOptions, onWatch: (directory: string, watch: FillWatch) => void): Promise<Backup> {
    const { guest, settings, domain, disks, context } = options;
    const prefix = `gantry-${createHash('sha256').update(`${context.runId} ${guest.uuid}`).digest('hex').slice(0, 12)}`;
    const directory = join(settings.scratch, prefix);
    const socket = join(await socketDirectory(guest, settings, domain, directory), `${prefix}.sock`);
    assertSocketPath(socket);
    const indexes = disks.map(({ request: { index } }) => index);
    const data = { uri: guest.uri, uuid: guest.uuid, indexes, directory, socket, timeoutS: settings.timeout };
    const backup = new Backup(options, data, await freeBytes(settings.scratch), onWatch);
    await context.remember(toLibvirtRecord(data));
    if (settings.isDefaultScratch) await makeDefaultScratch(settings.scratch);
    await makeScratch(directory, backup.#description(), domain.owner);
    backup.#noteFormats();
    return backup;
  }

  async take(): Promise<void> {
    const { guest, settings, virsh, disks, context } = this.#options;
    const { signal, warn, note } = context;
    try {
      await whileFrozen(
        {
          virsh,
          uuid: guest.uuid,
          settings,
          warn,
          note,
          signal,
          remember: async (freeze) => {
            this.#data = { ...this.#data, freeze };
            await context.remember(toLibvirtRecord(this.#data));
          },
        },
        async () => {
          await virsh.run(['backup-begin', guest.uuid, '--backupxml', descriptionOf(this.#data.directory)], { signal });
        },
      );
    } catch (error) {
      signal.throwIfAborted();
      throw takingFailed(
        disks.map(({ request }) => request),
        error,
      );
    }
  }

  async open(): Promise<readonly Snapshot[]> {
    const { settings, disks, context } = this.#options;
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
    return disks.map(({ request: { index }, disk: { target, capacity } }) => ({
      index,
      kind: 'libvirt',
      nbd: { socket: this.#data.socket, exportName: target },
      bytes: capacity,
      lost: watch.lost,
      assertIntact: () => watch.assertIntact(),
    }));
  }

  #description(): string {
    const { domain, disks } = this.#options;
    const wanted = new Set(disks.map(({ disk: { target } }) => target));
    const files = scratchFilesOf(this.#data.directory);
    const all = domain.disks.map(({ target }) => (wanted.has(target) ? { target, scratch: join(files, target) } : { target }));
    return backupXml(this.#data.socket, all);
  }

  #noteFormats(): void {
    for (const { request, disk } of this.#options.disks)
      if (disk.format !== 'raw')
        this.#options.context.note?.(`disk ${request.index} is a ${disk.format} image: its export is a plain image of what the guest sees`);
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
