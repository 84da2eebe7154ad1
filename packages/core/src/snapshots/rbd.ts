import { dirname, join } from 'node:path';

import { z } from 'zod';

import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import { endCommandOfKilledRun, processGroupSchema } from '../system/run-command.ts';
import { isSocketPathTooLong } from '../system/socket-path.ts';
import type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRecord, SnapshotRequest } from './provider.ts';
import type { MarkFate } from './mark-fate.ts';
import { markFateSchema, snapshotsToRemove } from './mark-fate.ts';
import { socketIn, startImageServer } from './rbd/image-server.ts';
import { createSnapshot, imageSize, RbdImageGone, RbdMissingError, removeSnapshot, snapshotId, snapshotSize } from './rbd/rbd-commands.ts';
import type { RbdImage } from './rbd/rbd-image.ts';
import { parseRbdUri, snapshotUri } from './rbd/rbd-image.ts';
import type { EarlierSnapshot } from './rbd/rbd-marks.ts';
import { changesOf, findEarlier, parseMark, SNAPSHOT_NAME } from './rbd/rbd-marks.ts';
import { defaultScratch, makeDefaultScratch, removeScratch } from './scratch-directory.ts';

/*
 * Snapshots of images of Ceph's RBD, by its own commands: nothing is mapped by the kernel. See docs/decisions/0112-rbd-snapshots.md.
 */

interface RbdRecordData extends RbdImage {
  /** Of the snapshot. */
  readonly name: string;
  /** Of the socket; present where a server reads the snapshot. */
  readonly directory?: string | undefined;
  /** Present where the snapshot may be kept as a mark. */
  readonly fate?: MarkFate | undefined;
  /** The command that is under way, or the server. */
  readonly process?: ProcessGroup | undefined;
}

const snapshotName = z.string().regex(SNAPSHOT_NAME);
const dataSchema: z.ZodType<RbdRecordData> = z.object({
  spec: z.string(),
  options: z.array(z.tuple([z.string(), z.string()])),
  name: snapshotName,
  directory: z.string().optional(),
  fate: markFateSchema(snapshotName).optional(),
  process: processGroupSchema.optional(),
});

interface Wanted {
  readonly request: SnapshotRequest;
  readonly record: Omit<SnapshotRecord, 'data'>;
  /** As it is in the journal, or will be. */
  data: RbdRecordData;
  readonly earlier: EarlierSnapshot | undefined;
}

/** As long as the name of any snapshot. */
const SAMPLE_NAME = 'gantry-20261123T081500Z-4194304-999-255';

/**
 * Snapshots of disks whose URI names an image of RBD.
 * @param scratch Gantry's own directory, for sockets; not one that others may write to, as root removes files in it
 */
export function createRbdProvider(scratch: string = defaultScratch()): SnapshotProvider & { readonly name: 'rbd' } {
  return {
    name: 'rbd',
    async supports(request, signal) {
      const image = imageOf(request);
      if ('reason' in image) return { ok: false, reason: image.reason };
      if (request.needsPath !== true && isSocketPathTooLong(socketIn(join(scratch, SAMPLE_NAME))))
        return { ok: false, reason: `the path of the scratch directory ${scratch} is too long for a socket in it`, isObstacle: true };
      try {
        await imageSize(image, signal);
        return { ok: true, what: `a snapshot of the image ${image.spec}` };
      } catch (error) {
        signal.throwIfAborted();
        return { ok: false, reason: errorText(error), isObstacle: !(error instanceof RbdMissingError) };
      }
    },
    async prepare(requests, context) {
      const wanted: Wanted[] = [];
      for (const request of requests) wanted.push(await want(request, context, scratch));
      for (const each of wanted) await remember(each, context, {});
      return {
        async take() {
          for (const each of wanted) await attempt(each, context, () => take(each, context));
        },
        async open() {
          const snapshots: Snapshot[] = [];
          for (const each of wanted) snapshots.push(await attempt(each, context, () => open(each, context)));
          return snapshots;
        },
        async settleMarks(kept) {
          for (const each of wanted) if (each.data.fate !== undefined) await remember(each, context, { fate: { ...each.data.fate, kept } });
        },
      };
    },
    async drop(record, signal) {
      const { name, directory, process, fate, ...image } = dataSchema.parse(record.data);
      if (process !== undefined) await endCommandOfKilledRun(process);
      if (directory !== undefined) await removeScratch(directory);
      for (const each of snapshotsToRemove(name, fate)) await removeSnapshot(image, each, signal);
    },
    async forgetMark(mark, signal) {
      const kept = parseMark(mark);
      if (kept === undefined) return;
      const { image, id, name } = kept;
      try {
        if ((await snapshotId(image, name, signal)) === id) await removeSnapshot(image, name, signal);
      } catch (error) {
        if (!(error instanceof RbdImageGone)) throw error;
      }
    },
  };
}

function imageOf({ disk, needsPath = false }: SnapshotRequest): RbdImage | { readonly reason: string } {
  const image = disk.uri === undefined ? undefined : parseRbdUri(disk.uri);
  if (image === undefined) return { reason: 'its URI is not one of RBD (rbd:POOL/IMAGE)' };
  if (needsPath && disk.path !== undefined) return { reason: 'scripts may read its path, which would not be the snapshot' };
  return image;
}

async function want(request: SnapshotRequest, context: SnapshotContext, scratch: string): Promise<Wanted> {
  const image = imageOf(request);
  if ('reason' in image) throw failed(request, image.reason);
  const earlier = await attempt({ request }, context, () => findEarlier(image, request, context.signal));
  const name = `${context.runId}-${request.index}`;
  const directory = request.needsPath === true ? {} : { directory: join(scratch, name) };
  const since = earlier !== undefined && 'name' in earlier ? earlier.name : undefined;
  const fate = earlier === undefined ? {} : { fate: { since, kept: 'earlier' as const } };
  const data = { ...image, name, ...directory, ...fate };
  const description = `snapshot ${image.spec}@${name} of disk ${request.index}`;
  return { request, data, earlier, record: { provider: 'rbd', index: request.index, description } };
}

/** What changes of the record is in the journal when this resolves. */
async function remember(wanted: Wanted, context: SnapshotContext, change: Partial<Pick<RbdRecordData, 'fate' | 'process'>>): Promise<void> {
  wanted.data = { ...wanted.data, ...change };
  await context.remember({ ...wanted.record, data: { ...wanted.data } });
}

async function take(wanted: Wanted, context: SnapshotContext): Promise<void> {
  const { data } = wanted;
  await createSnapshot(data, data.name, { signal: context.signal, started: (process) => remember(wanted, context, { process }) });
}

/** Scripts get the URI of the snapshot; the built-in definition reads it from QEMU's NBD server, which knows what is allocated. */
async function open(wanted: Wanted, context: SnapshotContext): Promise<Snapshot> {
  const { request, data, earlier } = wanted;
  const { index } = request;
  const { signal } = context;
  const id = await snapshotId(data, data.name, signal);
  if (id === undefined) throw removed(index, data);
  const uri = snapshotUri(data, data.name);
  const bytes = await snapshotSize(data, data.name, signal);
  const assertThere = async (): Promise<void> => {
    if ((await snapshotId(data, data.name, signal)) !== id) throw removed(index, data);
  };
  const view = { index, kind: 'rbd', uri, bytes, ...changesOf(index, { image: data, name: data.name, id }, earlier) };
  if (data.directory === undefined) return { ...view, assertIntact: assertThere };
  const started = (process: ProcessGroup): Promise<void> => remember(wanted, context, { process });
  const exportName = `disk${index}`;
  await makeDefaultScratch(dirname(data.directory));
  const server = await startImageServer({ directory: data.directory, exportName, uri, started, signal });
  const assertIntact = async (): Promise<void> => {
    await assertThere();
    // Its socket closes a moment before its end is known here.
    const reason = server.whyEnded();
    if (reason !== undefined) throw new GantryError('SNAPSHOT_FAILED', { message: `cannot read disk ${index}: ${reason}`, disk: index });
  };
  return { ...view, nbd: { socket: server.socket, exportName }, assertIntact };
}

async function attempt<T>({ request }: Pick<Wanted, 'request'>, { signal }: SnapshotContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof GantryError ? error : failed(request, errorText(error), error);
  }
}

function removed(index: number, { spec, name }: RbdRecordData): GantryError {
  return new GantryError('SNAPSHOT_FAILED', {
    message: `cannot read disk ${index}: somebody else has removed or replaced the snapshot ${spec}@${name}`,
    hint: 'Export again; snapshots named gantry-… are in use while an export runs.',
    disk: index,
  });
}

function failed({ index, disk }: SnapshotRequest, reason: string, cause?: unknown): GantryError {
  return new GantryError('SNAPSHOT_FAILED', {
    message: `cannot take an rbd snapshot of disk ${index} (${disk.uri ?? disk.path ?? ''}): ${reason}`,
    hint: 'Check that the cluster answers and that the user of its URI may make snapshots: rbd snap ls POOL/IMAGE.',
    disk: index,
    cause,
  });
}
