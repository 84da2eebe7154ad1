import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { constants, mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { z } from 'zod';

import { isSameDisk } from '../../disks/open-disk.ts';
import type { GantryErrorCode } from '../../report/errors.ts';
import { GantryError } from '../../report/errors.ts';
import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import { pause } from '../../system/pause.ts';
import type { ProcessGroup } from '../../system/process-group.ts';
import { endCommandOfKilledRun, processGroupSchema } from '../../system/run-command.ts';
import { FillWatch } from '../fill-watch.ts';
import type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRecord, SnapshotRequest } from '../provider.ts';
import { defaultScratch, makeDefaultScratch } from '../scratch-directory.ts';
import { createClone, createSnapshots, mountSnapshot, poolGuid } from './commands.ts';
import type { DatasetPlan } from './plan.ts';
import { cloneName, describePlan, lookAtFill, needOf, planPath, poolOf, whyTooLittle } from './plan.ts';
import { mountPoint, releaseSnapshot, removeMount } from './release-dataset.ts';
import { volumeName } from './volume-name.ts';

/*
 * Snapshots of disks that are volumes of ZFS, or files on its file systems, at one moment of each pool. What is read of a volume is a
 * clone, which is a device in any case and can be written to; what is read of a file is in a mount of our own, read only. See
 * docs/decisions/0195-zfs-snapshots.md.
 */

/** It takes udev a moment to make the path of a new volume. */
const DEVICE_TIMEOUT_MS = 30_000;
const DEVICE_PAUSE_MS = 50;

const FULL_HINT = 'Free space in the pool, raise the quota, or export when less is written.';

const OURS = /^gantry-[\w.+-]+$/;
const dataSchema = z.object({
  pool: z.string(),
  poolGuid: z.string().regex(/^\d+$/),
  dataset: z.string(),
  datasetGuid: z.string().regex(/^\d+$/),
  /** What follows the `@`. */
  name: z.string().regex(OURS),
  /** In which its file system is mounted, for a disk that is a file: a directory of ours. */
  directory: z
    .string()
    .regex(/^\/(.*\/)?gantry-[\w.+-]+\.zfs$/s)
    .optional(),
  /** The snapshot is removed with an earlier disk, whose file is on the same file system. */
  isShared: z.boolean().optional(),
  process: processGroupSchema.optional(),
});
type ZfsRecordData = z.infer<typeof dataSchema>;

/** A disk, the plan for its snapshot, and what is in the journal of it. */
interface Wanted extends DatasetPlan {
  readonly request: SnapshotRequest;
  data: ZfsRecordData;
}

/** A snapshot that this process holds. */
interface Held extends AsyncDisposable {
  readonly file: FileHandle;
  readonly watch: FillWatch;
}

/** @param scratch Gantry's own directory, where file systems are mounted; not one that others may write to */
export function createZfsProvider(scratch: string = defaultScratch()): SnapshotProvider & { readonly name: 'zfs' } {
  const held = new Map<string, Held>();
  return {
    name: 'zfs',
    async supports({ disk }, signal) {
      const plan = await planPath(disk.path, signal);
      return 'found' in plan ? { ok: true, what: describePlan(plan) } : plan;
    },
    async whyNotTogether(requests, signal) {
      const plans = await Promise.all(requests.map(async (request) => planOrThrow(request, signal)));
      const volumes = plans.filter(({ found }) => found.kind === 'volume').map(({ dataset }) => dataset);
      for (const [pool, datasets] of Map.groupBy(volumes, ({ name }) => poolOf(name))) {
        const reason = whyTooLittle(datasets.map(needOf), `pool ${pool}`);
        if (reason !== undefined) return reason;
      }
      return undefined;
    },
    async prepare(requests, context) {
      const wanted: Wanted[] = [];
      for (const request of requests) wanted.push(await want(request, wanted, { context, scratch }));
      for (const each of wanted) await remember([each], context);
      return {
        async take() {
          const own = wanted.filter(({ data }) => data.isShared !== true);
          for (const ofPool of Map.groupBy(own, ({ data }) => data.pool).values()) await take(ofPool, context);
        },
        async open() {
          const snapshots: Snapshot[] = [];
          for (const each of wanted) {
            const { snapshot, ...opened } = await attempt(each.request, context, () => openSnapshot(each, context));
            held.set(keyOf(each.data), opened);
            snapshots.push(snapshot);
          }
          return snapshots;
        },
      };
    },
    async drop(record, signal) {
      const data = dataSchema.parse(record.data);
      if (data.process !== undefined) await endCommandOfKilledRun(data.process);
      await held.get(keyOf(data))?.[Symbol.asyncDispose]();
      held.delete(keyOf(data));
      if (data.directory !== undefined) await removeMount(data.directory, signal);
      if (data.isShared !== true) await releaseSnapshot(data, signal);
    },
  };
}

function keyOf({ datasetGuid, name, directory = '' }: ZfsRecordData): string {
  return `${datasetGuid} ${name} ${directory}`;
}

function snapshotOf({ data, dataset }: Wanted): string {
  return `${dataset.name}@${data.name}`;
}

/** @throws GantryError `SNAPSHOT_FAILED` where it was possible a moment ago, and is not now */
async function planOrThrow(request: SnapshotRequest, signal: AbortSignal): Promise<DatasetPlan> {
  const plan = await planPath(request.disk.path, signal);
  if ('found' in plan) return plan;
  throw failed('SNAPSHOT_FAILED', request, plan.reason);
}

/** @param earlier of the same instance: files on one file system share a snapshot */
async function want(
  request: SnapshotRequest,
  earlier: readonly Wanted[],
  { context, scratch }: { readonly context: SnapshotContext; readonly scratch: string },
): Promise<Wanted> {
  const plan = await planOrThrow(request, context.signal);
  const { found, dataset } = plan;
  const own = `${context.runId}-${request.index}`;
  const same = earlier.find(({ data }) => data.datasetGuid === dataset.guid);
  const pool = poolOf(dataset.name);
  const data: ZfsRecordData = {
    pool,
    poolGuid: same?.data.poolGuid ?? (await attempt(request, context, () => poolGuid(pool, context.signal))),
    dataset: dataset.name,
    datasetGuid: dataset.guid,
    name: same?.data.name ?? own,
    ...(found.kind === 'file' ? { directory: join(scratch, `${own}.zfs`) } : {}),
    ...(same === undefined ? {} : { isShared: true }),
  };
  return { ...plan, request, data };
}

/** What changes of the records is in the journal when this resolves. */
async function remember(wanted: readonly Wanted[], { remember }: SnapshotContext, process?: ProcessGroup): Promise<void> {
  for (const each of wanted) {
    if (process !== undefined) each.data = { ...each.data, process };
    const record: SnapshotRecord = {
      provider: 'zfs',
      index: each.request.index,
      description: `snapshot ${each.data.dataset}@${each.data.name} of disk ${each.request.index}`,
      data: { ...each.data },
    };
    await remember(record);
  }
}

/** Of datasets of one pool: they have the same moment. */
async function take(wanted: readonly Wanted[], context: SnapshotContext): Promise<void> {
  const [first] = wanted;
  if (first === undefined) return;
  const started = (process: ProcessGroup): Promise<void> => remember(wanted, context, process);
  await attempt(first.request, context, () => createSnapshots(wanted.map(snapshotOf), { signal: context.signal, started }));
}

async function openSnapshot(wanted: Wanted, context: SnapshotContext): Promise<Held & { readonly snapshot: Snapshot }> {
  const { request, dataset } = wanted;
  const { index } = request;
  const { path, file } = await (wanted.found.kind === 'volume' ? openClone(wanted, context) : openFile(wanted, context));
  const opened = await file.stat({ bigint: true });
  const look = (signal: AbortSignal) => lookAtFill(dataset.name, signal);
  const watch = new FillWatch({ disk: index, look, warn: context.warn, fullHint: FULL_HINT });
  const assertIntact = async (): Promise<void> => {
    await watch.assertIntact();
    await assertNamed(path, opened, request);
  };
  return {
    file,
    watch,
    snapshot: { index, kind: 'zfs', path, descriptor: file.fd, assertIntact, lost: watch.lost },
    async [Symbol.asyncDispose]() {
      await watch[Symbol.asyncDispose]();
      await file.close();
    },
  };
}

interface Opened {
  readonly path: string;
  readonly file: FileHandle;
}

async function openClone(wanted: Wanted, context: SnapshotContext): Promise<Opened> {
  const { signal } = context;
  const clone = cloneName(wanted.dataset, wanted.data.name);
  const started = (process: ProcessGroup): Promise<void> => remember([wanted], context, process);
  await createClone(snapshotOf(wanted), clone, { signal, started });
  const path = `/dev/zvol/${clone}`;
  const file = await openDevice(path, signal);
  try {
    const name = volumeName(file.fd);
    if (name !== clone) throw new Error(`${path} leads to ${name}`);
    return { path, file };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openDevice(path: string, signal: AbortSignal): Promise<FileHandle> {
  const deadline = performance.now() + DEVICE_TIMEOUT_MS;
  for (;;) {
    try {
      return await open(path, constants.O_RDONLY);
    } catch (error) {
      const name = errnoName(error);
      // The path may be there before the device, or lead to one that is just being made.
      if (name !== 'ENOENT' && name !== 'ENXIO') throw error;
      if (performance.now() > deadline) throw new Error(`udev did not make ${path} within ${DEVICE_TIMEOUT_MS / 1000} s`, { cause: error });
    }
    await pause(DEVICE_PAUSE_MS, signal);
  }
}

async function openFile(wanted: Wanted, context: SnapshotContext): Promise<Opened> {
  const { data, found } = wanted;
  if (data.directory === undefined || found.kind !== 'file') throw new Error('it is not a file');
  await makeDefaultScratch(dirname(data.directory));
  await mkdir(data.directory, { mode: 0o700 });
  const mounted = mountPoint(data.directory);
  await mkdir(mounted, { mode: 0o700 });
  const started = (process: ProcessGroup): Promise<void> => remember([wanted], context, process);
  await mountSnapshot(snapshotOf(wanted), mounted, { signal: context.signal, started });
  const path = join(mounted, found.inside);
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await file.stat({ bigint: true });
    // A file keeps its number in snapshots.
    if (!stats.isFile() || stats.ino !== found.inode) throw new Error('another file has replaced it');
    return { path, file };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Scripts get the path. */
async function assertNamed(path: string, opened: BigIntStats, request: SnapshotRequest): Promise<void> {
  const named = await stat(path, { bigint: true }).catch(() => undefined);
  if (named === undefined || !isSameDisk(opened, named)) throw failed('SNAPSHOT_FAILED', request, `${path} is not the snapshot any more`);
}

async function attempt<T>(request: SnapshotRequest, { signal }: SnapshotContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GantryError) throw error;
    const reason = errorText(error);
    throw failed(/out of space|quota exceeded/.test(reason) ? 'SNAPSHOT_FULL' : 'SNAPSHOT_FAILED', request, reason, error);
  }
}

function failed(code: GantryErrorCode, { index, disk }: SnapshotRequest, reason: string, cause?: unknown): GantryError {
  return new GantryError(code, {
    message: `cannot take a ZFS snapshot of disk ${index} (${disk.path ?? ''}): ${reason}`,
    hint: code === 'SNAPSHOT_FULL' ? FULL_HINT : 'gantry snapshots check says what would be taken.',
    disk: index,
    cause,
  });
}
