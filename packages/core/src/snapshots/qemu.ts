import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { GantryError } from '../report/errors.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { asFirstError } from '../report/first-error.ts';
import { errorText } from '../report/error-text.ts';
import { readDirtyRanges } from '../disks/read-nbd.ts';
import { pause } from '../system/pause.ts';
import type { Fill } from './fill-watch.ts';
import { FillWatch } from './fill-watch.ts';
import { noteFormat } from './image-format.ts';
import type { MarksKept } from './mark-fate.ts';
import { FreezeFailure, freezeGuest } from './qemu/agent-freeze.ts';
import type { PlannedMark } from './qemu/change-marks.ts';
import { forgetMark, markOf, planMark } from './qemu/change-marks.ts';
import { QemuProcesses } from './qemu/find-monitor.ts';
import { addScratchNodes, exportSnapshots, insertFilters, isRunning, startServer, whyNotOfMoment } from './qemu/hold-disks.ts';
import type { Target } from './qemu/find-target.ts';
import { findTarget } from './qemu/find-target.ts';
import type { QemuRecordData } from './qemu/qemu-record.ts';
import { namesOf, readRecord, socketOf, toRecord } from './qemu/qemu-record.ts';
import { QmpClient, QmpGone, QmpRefusal } from './qemu/qmp-client.ts';
import { releaseDisks } from './qemu/release-disks.ts';
import type { ScratchFile } from './qemu/scratch.ts';
import { makeScratch } from './qemu/scratch.ts';
import type { QemuSettings } from './qemu/settings.ts';
import { qemuSettings } from './qemu/settings.ts';
import { describeLack, freeBytes, lookAtScratch, makeDefaultScratch, MIN_RESERVES } from './scratch-directory.ts';
import type {
  PreparedSnapshots,
  ProviderOptions,
  Snapshot,
  SnapshotContext,
  SnapshotOverNbd,
  SnapshotProvider,
  SnapshotRequest,
} from './provider.ts';

/*
 * Snapshots of the disks of a running guest, by its own QEMU: filters keep what the guest overwrites in scratch files, and the disks as
 * they were are read over NBD. See docs/decisions/0081-snapshots-by-qemu.md.
 */

const OTHER_HINT = 'Use another kind (--snapshot), or correct the section qemu of --snapshot-config.';
const AGENT_HINT = 'Start qemu-guest-agent in the guest, or leave agent out of --snapshot-config to export without freezing.';
const NOT_ASKED =
  'neither the source of the instance names a QMP socket, nor does the snapshot configuration (--snapshot-config) have a section qemu';
const FULL_HINT = 'Name a scratch directory with more space in --snapshot-config, or export when the guest writes less.';

/** How long to wait for another client of QMP at the end, and between two tries. */
const PATIENCE_MS = 5 * 60_000;
const AGAIN_MS = 1000;

/** Without the section `qemu` of a configuration, or a guest with a QMP socket, it can only drop what another run made. */
export function createQemuProvider(options: ProviderOptions = {}): SnapshotProvider & { readonly name: 'qemu' } {
  const settings = qemuSettings(options);
  const processes = new QemuProcesses();
  const watches = new Map<string, readonly FillWatch[]>();
  return {
    name: 'qemu',
    async supports(request, signal) {
      if (settings === undefined) return { ok: false, reason: NOT_ASKED };
      const found = await findTarget(settings, processes, request, signal);
      return 'reason' in found
        ? { ok: false, reason: found.reason }
        : { ok: true, what: `a snapshot of ${found.disk.node} in the QEMU at ${found.qmp}`, isOverNbd: true };
    },
    async prepare(requests, context) {
      if (settings === undefined) throw failed('SNAPSHOT_FAILED', requests, NOT_ASKED);
      const groups: Group[] = [];
      for (const targets of Map.groupBy(await findTargets(settings, processes, requests, context), ({ qmp }) => qmp).values())
        groups.push(new Group(settings, targets, context));
      for (const group of groups) await group.step((client) => group.prepare(client));
      return {
        async take() {
          for (const group of groups) await group.takeFrozen();
        },
        async open() {
          const snapshots: Snapshot[] = [];
          for (const group of groups) {
            await group.step((client) => group.open(client));
            const own = group.watch();
            watches.set(group.prefix, own);
            snapshots.push(...group.snapshots(own));
          }
          return snapshots;
        },
        async settleMarks(kept) {
          for (const group of groups) await group.settleMarks(kept);
        },
      } satisfies PreparedSnapshots;
    },
    async drop(record, signal) {
      const data = readRecord(record);
      for (const watch of watches.get(data.prefix) ?? []) await watch[Symbol.asyncDispose]();
      watches.delete(data.prefix);
      await releaseDisks(data, signal);
    },
    forgetMark,
  };
}

async function findTargets(
  settings: QemuSettings,
  processes: QemuProcesses,
  requests: readonly SnapshotRequest[],
  { signal }: SnapshotContext,
): Promise<readonly Target[]> {
  const targets: Target[] = [];
  for (const request of requests) {
    const found = await findTarget(settings, processes, request, signal);
    if ('reason' in found) throw failed('SNAPSHOT_FAILED', [request], found.reason);
    targets.push(found);
  }
  return targets;
}

/** The disks of one QEMU. Every step is in the journal before it is taken; core undoes them. */
class Group {
  readonly prefix: string;
  readonly #settings: QemuSettings;
  readonly #targets: readonly Target[];
  readonly #context: SnapshotContext;
  readonly #files: readonly ScratchFile[];
  #marks: readonly PlannedMark[] = [];
  #data: QemuRecordData;
  #freeAtFirst = 0;

  constructor(settings: QemuSettings, targets: readonly Target[], context: SnapshotContext) {
    const [{ qmp } = { qmp: '' }] = targets;
    this.#settings = settings;
    this.#targets = targets;
    this.#context = context;
    this.prefix = `gantry-${createHash('sha256').update(`${context.runId} ${qmp}`).digest('hex').slice(0, 12)}`;
    this.#data = {
      qmp,
      prefix: this.prefix,
      directory: join(settings.scratch, this.prefix),
      disks: targets.map(({ request: { index }, disk: { qdev, node } }) => ({ index, qdev, node })),
      marks: [],
      marksKept: 'earlier',
      server: false,
      paused: false,
      timeoutMs: settings.timeoutMs,
    };
    this.#files = targets.map(({ request: { index }, disk: { size } }) => ({ path: join(this.#data.directory, `disk${index}`), size }));
  }

  /** Connects for one step only: while we are connected, the tools that manage the guest are locked out. */
  async step(work: (client: QmpClient) => Promise<void>): Promise<void> {
    const { signal } = this.#context;
    try {
      await using client = await QmpClient.connect(this.#data.qmp, { timeoutMs: this.#data.timeoutMs, signal });
      await work(client);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof GantryError ? error : failed('SNAPSHOT_FAILED', this.#requests(), errorText(error), error);
    }
  }

  /** Scratch files, the NBD server, the nodes of the scratch files. */
  async prepare(client: QmpClient): Promise<void> {
    const { scratch, reserveBytes, isDefaultScratch } = this.#settings;
    this.#freeAtFirst = await freeBytes(scratch);
    if (this.#freeAtFirst < MIN_RESERVES * reserveBytes)
      throw failed('SNAPSHOT_FULL', this.#requests(), describeLack(scratch, this.#freeAtFirst, reserveBytes));
    if (isDefaultScratch) await makeDefaultScratch(scratch);
    for (const { request, disk } of this.#targets) noteFormat(request.index, disk.format, this.#context);
    this.#marks = await this.#planMarks(client);
    await this.#remember({ marks: this.#marks.map(({ index, node, next, since }) => ({ index, node, next, since })) });
    await makeScratch(this.#data.directory, this.#files, this.#targets[0]?.pid);
    await this.#serve(client);
    await addScratchNodes(client, this.#data, this.#files);
    await this.#remember({ paused: await isRunning(client) });
  }

  /** The moment of the snapshot, with the guest frozen around it where that is configured. */
  async takeFrozen(): Promise<void> {
    const agent = this.#settings.agent(this.#context.instanceName);
    if (agent === undefined) return await this.step((client) => this.take(client));
    try {
      await using guest = await freezeGuest(agent, (frozen) => this.#remember({ frozen }), this.#context.signal);
      await this.step((client) => this.take(client));
      const ms = await guest.thaw();
      this.#context.note?.(`the file systems of the guest were frozen for ${Math.max(1, Math.round(ms))} ms`);
    } catch (error) {
      const failure = asFirstError(error);
      if (!(failure instanceof FreezeFailure)) throw error;
      if (!failure.mayBeFrozen) await this.#remember({ frozen: undefined });
      throw failed('SNAPSHOT_FAILED', this.#requests(), failure.message, error, AGENT_HINT);
    }
    await this.#remember({ frozen: undefined });
  }

  async take(client: QmpClient): Promise<void> {
    // Somebody may have paused the guest, or let it go on, since everything was prepared.
    const paused = await isRunning(client);
    if (paused !== this.#data.paused) await this.#remember({ paused });
    const ms = await insertFilters(client, this.#data);
    const disks = this.#targets.length === 1 ? '1 disk' : `${this.#targets.length} disks`;
    if (this.#data.paused) this.#context.note?.(`the guest was paused for ${Math.max(1, Math.round(ms))} ms to take snapshots of ${disks}`);
  }

  async open(client: QmpClient): Promise<void> {
    if (this.#data.paused) await this.#remember({ paused: false });
    await exportSnapshots(client, this.#data);
  }

  watch(): readonly FillWatch[] {
    const { scratch, reserveBytes } = this.#settings;
    const limits = { directory: scratch, reserve: reserveBytes, freeAtFirst: this.#freeAtFirst };
    const look = async (signal: AbortSignal, isLast: boolean): Promise<Fill> =>
      (isLast ? await this.#whyLost(signal) : undefined) ?? (await lookAtScratch(limits));
    return this.#targets.map(
      ({ request: { index } }) => new FillWatch({ disk: index, look, warn: this.#context.warn, fullHint: FULL_HINT }),
    );
  }

  /** Only asked when all is read: in between, QMP is for the tools that manage the guest. */
  async #whyLost(signal: AbortSignal): Promise<Fill | undefined> {
    try {
      await using client = await this.#connectAtLast(signal);
      const lost = await whyNotOfMoment(client, this.#data);
      return lost === undefined ? undefined : { lost, isFull: false };
    } catch (error) {
      if (!(error instanceof QmpGone)) throw error;
      // It ends after a migration too.
      return { lost: 'its QEMU has ended', isFull: false };
    }
  }

  /** QMP takes one client at a time: what has taken hours to read must not be lost because of another one. @throws QmpGone, and as `connect` */
  async #connectAtLast(signal: AbortSignal): Promise<QmpClient> {
    const both = AbortSignal.any([signal, this.#context.signal]);
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await QmpClient.connect(this.#data.qmp, { timeoutMs: this.#data.timeoutMs, signal: both });
      } catch (error) {
        if (error instanceof QmpGone || performance.now() >= deadline) throw error;
        await pause(AGAIN_MS, both);
      }
    }
  }

  snapshots(watches: readonly FillWatch[]): readonly Snapshot[] {
    return this.#targets.map(({ request: { index }, disk: { format, size } }, at) => {
      const watch = watches[at];
      const nbd = { socket: socketOf(this.#data), exportName: namesOf(this.prefix, index).access };
      return {
        index,
        kind: 'qemu',
        nbd,
        ...(format === 'raw' ? {} : { bytes: size }),
        ...(watch === undefined ? {} : { lost: watch.lost, assertIntact: () => watch.assertIntact() }),
        ...this.#changesOf(index, nbd),
      };
    });
  }

  async settleMarks(marksKept: MarksKept): Promise<void> {
    if (this.#marks.length > 0) await this.#remember({ marksKept });
  }

  async #planMarks(client: QmpClient): Promise<readonly PlannedMark[]> {
    const planned: PlannedMark[] = [];
    for (const { request, disk } of this.#targets) {
      const mark = await planMark(client, request, disk.node);
      if (mark !== undefined) planned.push(mark);
    }
    return planned;
  }

  #changesOf(index: number, nbd: SnapshotOverNbd): Pick<Snapshot, 'changes'> {
    const planned = this.#marks.find((mark) => mark.index === index);
    if (planned === undefined) return {};
    const { next, since, whyAll = 'there is no earlier mark' } = planned;
    const mark = markOf(next, this.#data.qmp);
    if (since === undefined) return { changes: { mark, since: { known: false, reason: whyAll } } };
    return { changes: { mark, since: { known: true, ranges: (signal) => readDirtyRanges(nbd, since, signal) } } };
  }

  /** An NBD server that was there before belongs to somebody else, and is not to be stopped. */
  async #serve(client: QmpClient): Promise<void> {
    await this.#remember({ server: true });
    try {
      await startServer(client, this.#data);
    } catch (error) {
      // Where there is no answer in time, QEMU may still start it.
      if (error instanceof QmpRefusal) await this.#remember({ server: false });
      throw error;
    }
  }

  async #remember(change: Partial<Pick<QemuRecordData, 'server' | 'paused' | 'marks' | 'marksKept' | 'frozen'>>): Promise<void> {
    this.#data = { ...this.#data, ...change };
    await this.#context.remember(toRecord(this.#data));
  }

  #requests(): readonly SnapshotRequest[] {
    return this.#targets.map(({ request }) => request);
  }
}

function failed(
  code: GantryErrorCode,
  requests: readonly SnapshotRequest[],
  reason: string,
  cause?: unknown,
  hint: string = code === 'SNAPSHOT_FULL' ? FULL_HINT : OTHER_HINT,
): GantryError {
  const [index] = requests.map((request) => request.index);
  return new GantryError(code, {
    message: `cannot take a qemu snapshot of disk ${requests.map((request) => request.index).join(', ')}: ${reason}`,
    hint,
    ...(index === undefined ? {} : { disk: index }),
    cause,
  });
}
