import type { FileHandle } from 'node:fs/promises';
import { constants, open, stat } from 'node:fs/promises';

import { z } from 'zod';

import { deviceMapperUuid } from '../../disks/device-mapper.ts';
import { deviceNumber } from '../../disks/disk-identity.ts';
import { errorText } from '../../report/error-text.ts';
import type { GantryErrorCode } from '../../report/errors.ts';
import { GantryError } from '../../report/errors.ts';
import type { Argv } from '../../system/run-command.ts';
import { endCommandOfKilledRun, processGroupSchema } from '../../system/run-command.ts';
import type { PreparedSnapshots, Snapshot, SnapshotContext, SnapshotRecord, SnapshotRequest } from '../provider.ts';
import type { VolumeReport } from './commands.ts';
import { LVM_GRACE_MS, reportVolumes, runLvm } from './commands.ts';
import { lookAtFill } from './fill.ts';
import { isDeviceOf } from './find-volume.ts';
import type { VolumePlan } from './plan.ts';
import { volumeName } from './plan.ts';
import { removeVolume } from './remove-volume.ts';
import { makeView, removeView } from './view.ts';
import { FillWatch } from '../fill-watch.ts';

/*
 * Snapshots of logical volumes: what the providers `lvm` and `drbd` share. A classic snapshot keeps the old content of what is written
 * to its volume in space of its own, and is lost when that is full: the kernel then fails every read of it. A thin one shares its blocks
 * with its volume; what fills up is the pool, and with it every guest on it. See docs/decisions/0085-lvm-snapshots.md.
 */

/** A disk with the plan for its snapshot. */
export interface PlannedRequest {
  readonly request: SnapshotRequest;
  readonly plan: VolumePlan;
}

/** What it takes to remove the snapshot. Names in a group can be given again, and groups can be renamed: so UUIDs. */
const dataSchema = z.object({
  groupUuid: z.string(),
  /** For messages. */
  group: z.string(),
  name: z.string().regex(/^gantry-[\w.+-]+$/),
  originUuid: z.string(),
  /** Whether a device stands upon it that shows the disk alone. */
  view: z.boolean().optional(),
  creating: processGroupSchema.optional(),
});
type SnapshotData = z.infer<typeof dataSchema>;

/** To find them by hand: `lvs @gantry`. */
const TAG = 'gantry';

/** A snapshot that this process holds. */
interface Held extends AsyncDisposable {
  readonly file: FileHandle;
  readonly watch: FillWatch;
}

/** Makes and removes snapshots of logical volumes, in the name of one provider. */
export class VolumeSnapshots {
  readonly #provider: string;
  readonly #held = new Map<string, Held>();

  constructor(provider: string) {
    this.#provider = provider;
  }

  async prepare(planned: readonly PlannedRequest[], context: SnapshotContext): Promise<PreparedSnapshots> {
    const wanted = planned.map((each) => ({ ...each, record: this.#recordOf(each, context.runId) }));
    for (const { record } of wanted) await context.remember(record);
    return {
      take: async () => {
        for (const each of wanted) await create(each, context);
      },
      open: async () => {
        const snapshots: Snapshot[] = [];
        for (const each of wanted) snapshots.push(await this.#open(each, context));
        return snapshots;
      },
    };
  }

  /** Idempotent. @throws Error where it is still there, or its group is not */
  async drop(record: SnapshotRecord, signal: AbortSignal): Promise<void> {
    const data = dataSchema.parse(record.data);
    if (data.creating !== undefined) await endCommandOfKilledRun(data.creating, LVM_GRACE_MS);
    await this.#held.get(data.name)?.[Symbol.asyncDispose]();
    this.#held.delete(data.name);
    if (data.view === true) await removeView(data.name, signal);
    await removeVolume(data, (signal) => findSnapshot(data, signal), signal);
  }

  #recordOf({ request: { index }, plan }: PlannedRequest, runId: string): SnapshotRecord {
    const { volume } = plan;
    const name = `${runId}-${index}`;
    const view = needsView(plan) ? { view: true } : {};
    const data: SnapshotData = { groupUuid: volume.vg_uuid, group: volume.vg_name, name, originUuid: volume.lv_uuid, ...view };
    const description = `snapshot ${volume.vg_name}/${name} of disk ${index} (${volumeName(volume)})`;
    return { provider: this.#provider, index, description, data };
  }

  async #open({ request, plan, record }: PlannedRequest & { record: SnapshotRecord }, context: SnapshotContext): Promise<Snapshot> {
    const data = dataSchema.parse(record.data);
    try {
      const volume = await findSnapshot(data, context.signal);
      if (volume === undefined || isHalfMade(volume)) throw new Error(`${data.group}/${data.name} is not there`);
      const opened = await openShown(volume, plan, context.signal);
      const { file, path, number } = opened;
      const [device, name] =
        plan.kind === 'classic'
          ? [opened.snapshotNumber, volumeName(volume)]
          : [`${plan.pool.lv_kernel_major}:${plan.pool.lv_kernel_minor}`, volumeName(plan.pool)];
      const look = (signal: AbortSignal) => lookAtFill(device, name, signal);
      const watch = new FillWatch({ disk: request.index, look, warn: context.warn });
      this.#held.set(data.name, { file, watch, [Symbol.asyncDispose]: () => closeBoth(file, watch) });
      const assertIntact = async (): Promise<void> => {
        await watch.assertIntact();
        await assertNamed(path, number, request);
      };
      return { index: request.index, kind: this.#provider, path, descriptor: file.fd, assertIntact, lost: watch.lost };
    } catch (error) {
      context.signal.throwIfAborted();
      throw failed('SNAPSHOT_FAILED', request, errorText(error), error);
    }
  }
}

async function closeBoth(file: FileHandle, watch: FillWatch): Promise<void> {
  await watch[Symbol.asyncDispose]();
  await file.close();
}

async function create(
  { request, plan, record }: PlannedRequest & { readonly record: SnapshotRecord },
  { remember, signal }: SnapshotContext,
): Promise<void> {
  const { name } = dataSchema.parse(record.data);
  const started = (creating: unknown): Promise<void> => remember({ ...record, data: { ...record.data, creating } });
  try {
    await runLvm(createCommand(plan, name), { signal, started });
  } catch (error) {
    signal.throwIfAborted();
    throw failed(isForSpace(errorText(error)) ? 'SNAPSHOT_FULL' : 'SNAPSHOT_FAILED', request, errorText(error), error);
  }
}

/** Thin snapshots would not be activated unless that is asked for. */
function createCommand(plan: VolumePlan, name: string): Argv {
  const how =
    plan.kind === 'classic' ? ['--size', `${plan.bytes}b`] : ['--setactivationskip', 'n', '--ignoreactivationskip', '--activate', 'y'];
  return ['lvcreate', '--snapshot', '--name', name, ...how, '--addtag', TAG, '--yes', volumeName(plan.volume)];
}

/**
 * Somebody else may have taken the space, or filled the pool, since it was looked at. The warnings of LVM speak of free space too,
 * also where another thing has failed.
 */
function isForSpace(text: string): boolean {
  const reasons = text.replaceAll(/WARNING:.*?(?: \/ |$)/g, '');
  return /insufficient (?:suitable )?(?:allocatable|free)|free space|reached threshold|out of (?:data|metadata) space/i.test(reasons);
}

/** @throws Error where somebody else's volume has the name */
async function findSnapshot({ groupUuid, name, originUuid }: SnapshotData, signal: AbortSignal): Promise<VolumeReport | undefined> {
  const [volume] = await reportVolumes({ vg_uuid: groupUuid, lv_name: name }, signal);
  if (volume === undefined || volume.origin_uuid === originUuid || isHalfMade(volume)) return volume;
  throw new Error(`${volumeName(volume)} is not the snapshot that was made: it has another origin`);
}

/** An lvcreate that was killed, or lost its power, can leave the space of a classic snapshot as a volume that has no origin yet. */
function isHalfMade({ origin_uuid: origin, lv_tags: tags }: VolumeReport): boolean {
  return origin === '' && tags.split(',').includes(TAG);
}

/** What scripts get: the snapshot, or the view upon it. Numbers are `MAJOR:MINOR`. */
interface Shown {
  readonly file: FileHandle;
  readonly path: string;
  readonly number: string;
  readonly snapshotNumber: string;
}

async function openShown(volume: VolumeReport, plan: VolumePlan, signal: AbortSignal): Promise<Shown> {
  const file = await openVolume(volume);
  const number = await numberOf(file);
  if (plan.viewBytes === undefined || !needsView(plan)) return { file, path: volume.lv_path, number, snapshotNumber: number };
  await using _snapshot = file;
  const path = await makeView(volume.lv_name, number, plan.viewBytes, signal);
  const view = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { file: view, path, number: await numberOf(view), snapshotNumber: number };
}

function needsView({ viewBytes, volume }: VolumePlan): boolean {
  return viewBytes !== undefined && viewBytes < volume.lv_size;
}

async function numberOf(file: FileHandle): Promise<string> {
  return deviceNumber((await file.stat({ bigint: true })).rdev);
}

/** @throws Error where the path leads elsewhere */
async function openVolume(volume: VolumeReport): Promise<FileHandle> {
  const file = await open(volume.lv_path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await file.stat({ bigint: true });
    if (stats.isBlockDevice() && isDeviceOf(await deviceMapperUuid(deviceNumber(stats.rdev)), volume)) return file;
    throw new Error(`${volume.lv_path} does not lead to ${volumeName(volume)}`);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Scripts get the name. */
async function assertNamed(path: string, number: string, request: SnapshotRequest): Promise<void> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  if (stats?.isBlockDevice() === true && deviceNumber(stats.rdev) === number) return;
  throw failed('SNAPSHOT_FAILED', request, `somebody else has removed or replaced ${path}`);
}

function failed(code: GantryErrorCode, { disk, index }: SnapshotRequest, reason: string, cause?: unknown): GantryError {
  return new GantryError(code, {
    message: `cannot take a snapshot of disk ${index} (${disk.path ?? ''}): ${reason}`,
    hint:
      code === 'SNAPSHOT_FULL'
        ? 'Free space in the volume group or the pool, or ask for less with --snapshot-size; gantry snapshots check says what is there.'
        : 'gantry snapshots check says what would be taken; see also the kernel log (dmesg).',
    disk: index,
    cause,
  });
}
