import type { FileHandle } from 'node:fs/promises';
import { constants, lstat, open, realpath, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { z } from 'zod';

import { GantryError } from '../report/errors.ts';
import { systemErrorCode } from '../system/errno-name.ts';
import { Interruption } from '../system/interruption.ts';
import { callLibcOnThread } from '../system/libc.ts';
import { syncDirectory } from '../system/durable.ts';
import { errorText } from '../report/error-text.ts';
import { copyNoCopyOnWrite } from '../disks/inode-flags.ts';
import type { MarkFate } from './mark-fate.ts';
import { markFateSchema, snapshotsToRemove } from './mark-fate.ts';
import type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRecord, SnapshotRequest, Support } from './provider.ts';
import type { EarlierClone } from './reflink-marks.ts';
import { changesOf, findEarlier, isClone, pathOf, SNAPSHOT_NAME } from './reflink-marks.ts';
import { whyNoReflinks } from './reflink-probe.ts';

/*
 * A snapshot of a disk that is a file: another file beside it that shares its data, made by FICLONE. It is atomic with regard to
 * writers (FICLONE(2const)): xfs and btrfs block all writes to the file, direct ones and those through mapped memory too, from before
 * they flush its cached data until all of it is shared. So the snapshot is what a power cut at that moment would have left. Several
 * disks are cloned directly one after the other, in their order, but not at the same moment.
 */

/*
 * The directory may belong to another user, who can replace a file by another file or a link at any time. So each file is opened once,
 * and everything is done with its descriptor. See docs/decisions/0027-snapshots-by-descriptor.md.
 */

/** A disk that is to be cloned. */
interface Plan {
  readonly request: SnapshotRequest;
  readonly source: string;
  readonly target: string;
}

/** A plan whose files are open. */
interface Prepared extends Plan {
  readonly original: FileHandle;
  readonly copy: FileHandle;
  /** Present if the clone may be kept as a mark. */
  readonly earlier: EarlierClone | undefined;
}

/** `_IOW(0x94, 9, int)` of linux/fs.h. */
const FICLONE = 0x4004_9409;

const MAX_FILE_NAME_BYTES = 255;
const snapshotPath = z
  .string()
  .startsWith('/')
  .refine((path) => SNAPSHOT_NAME.test(basename(path)), 'it does not have the name of a snapshot of Gantry');
const recordSchema = z.object({ path: snapshotPath, fate: markFateSchema(snapshotPath).optional() });

/** Snapshots of disks that are files, on file systems with reflinks. */
export function createReflinkProvider(): SnapshotProvider & { readonly name: 'reflink' } {
  // Clones in progress: they cannot be stopped.
  const underWay = new Map<string, Promise<void>>();
  const held = new Map<string, Prepared>();

  const clone = async (plan: Prepared, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    const work = cloneFile(plan).finally(() => underWay.delete(plan.target));
    underWay.set(plan.target, work);
    using interruption = new Interruption(signal);
    await interruption.race(work);
  };

  return {
    name: 'reflink',
    supports: whyOrWhyNot,

    async prepare(requests, context) {
      const plans = await Promise.all(requests.map((request) => planSnapshot(request, context)));
      const prepared: Prepared[] = [];
      for (const plan of plans) {
        await context.remember(recordOf(plan));
        const files = await openFiles(plan);
        held.set(plan.target, files);
        prepared.push(files);
        if (sincePath(files) !== undefined) await context.remember(recordOf(plan, { since: sincePath(files), kept: 'earlier' }));
      }
      for (const plan of prepared) await flush(plan, context.signal);
      return {
        async take() {
          for (const plan of prepared) await clone(plan, context.signal);
        },
        async open() {
          const snapshots: Snapshot[] = [];
          for (const plan of prepared) {
            await assertNamed(plan);
            snapshots.push(await toSnapshot(plan));
          }
          return snapshots;
        },
        async settleMarks(kept) {
          for (const plan of prepared)
            if (plan.earlier !== undefined) await context.remember(recordOf(plan, { since: sincePath(plan), kept }));
        },
      };
    },

    async drop(record, signal) {
      const { path, fate } = recordSchema.parse(record.data);
      using interruption = new Interruption(signal);
      await interruption.race(underWay.get(path)?.catch(() => undefined) ?? Promise.resolve());
      const files = held.get(path);
      held.delete(path);
      await using _original = files?.original;
      await using copy = files?.copy;
      await using _earlier = earlierFile(files);
      for (const each of snapshotsToRemove(path, fate)) await removeSnapshot(each, each === path ? copy : undefined);
    },
    async forgetMark({ name }, signal) {
      signal.throwIfAborted();
      const path = pathOf(name);
      if (path !== undefined && (await isClone(path, name))) await removeSnapshot(path, undefined);
    },
  };
}

async function whyOrWhyNot({ disk }: SnapshotRequest, signal: AbortSignal): Promise<Support> {
  signal.throwIfAborted();
  if (disk.path === undefined) return { ok: false, reason: 'it has only a URI, not a path' };
  try {
    const path = await realpath(disk.path);
    if (!(await stat(path)).isFile()) return { ok: false, reason: 'it is not a regular file' };
    const reason = await whyNoReflinks(dirname(path));
    return reason === undefined ? { ok: true, what: `a clone of ${path} in its directory` } : { ok: false, reason };
  } catch (error) {
    return { ok: false, reason: `it cannot be examined (${systemErrorCode(error)})` };
  }
}

async function planSnapshot(request: SnapshotRequest, { runId }: SnapshotContext): Promise<Plan> {
  const { disk, index } = request;
  if (disk.path === undefined) throw failed(index, 'a disk without a path', 'it has only a URI');
  try {
    // Beside the file itself, not beside a symbolic link to it.
    const source = await realpath(disk.path);
    const name = `.${basename(source)}.${runId}.snap`;
    const fits = Buffer.byteLength(name) <= MAX_FILE_NAME_BYTES;
    return { request, source, target: join(dirname(source), fits ? name : `.disk${index}.${runId}.snap`) };
  } catch (error) {
    throw failed(index, disk.path, errorText(error), error);
  }
}

function recordOf({ request: { index }, target }: Plan, fate?: MarkFate): SnapshotRecord {
  const data = { path: target, ...(fate === undefined ? {} : { fate }) };
  return { provider: 'reflink', index, description: `snapshot ${target} of disk ${index}`, data };
}

function sincePath({ earlier }: Prepared): string | undefined {
  return earlier !== undefined && 'path' in earlier ? earlier.path : undefined;
}

function earlierFile(files: Prepared | undefined): FileHandle | undefined {
  return files?.earlier !== undefined && 'file' in files.earlier ? files.earlier.file : undefined;
}

async function openFiles(plan: Plan): Promise<Prepared> {
  const original = await openOriginal(plan);
  try {
    const copy = await createCopy(plan, original);
    return { ...plan, original, copy, earlier: await findEarlier(plan.request, original) };
  } catch (error) {
    await original.close();
    throw error;
  }
}

/** Opens without following a link, and without waiting on a named pipe that somebody may have put there. */
async function openOriginal({ request: { index }, source }: Plan): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    file = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    throw new Error('it is not a regular file any more');
  } catch (error) {
    await file?.close();
    throw failed(index, source, errorText(error), error);
  }
}

/** Creates the empty file for the clone, accessible only to its owner regardless of the disk's mode. O_EXCL does not follow links. */
async function createCopy({ request: { index }, source, target }: Plan, original: FileHandle): Promise<FileHandle> {
  try {
    const copy = await open(target, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    copyNoCopyOnWrite(original.fd, copy.fd);
    return copy;
  } catch (error) {
    throw failed(index, source, errorText(error), error);
  }
}

/** FICLONE flushes cached data while it blocks writers: flushing before makes that shorter. */
async function flush({ request: { index }, source, original }: Prepared, signal: AbortSignal): Promise<void> {
  using interruption = new Interruption(signal);
  try {
    signal.throwIfAborted();
    await interruption.race(original.datasync());
  } catch (error) {
    signal.throwIfAborted();
    throw failed(index, source, errorText(error), error);
  }
}

async function cloneFile({ request: { index }, source, original, copy }: Prepared): Promise<void> {
  try {
    await callLibcOnThread('ficlone', copy.fd, FICLONE, original.fd);
  } catch (error) {
    throw failed(index, source, errorText(error), error);
  }
}

/** Scripts get the path. @throws GantryError `SNAPSHOT_FAILED` if it does not lead to the snapshot */
async function assertNamed({ request: { index }, source, target, copy }: Prepared): Promise<void> {
  if (!(await isNamed(copy, target))) throw failed(index, source, `another process has removed or replaced ${target}`);
}

async function isNamed(file: FileHandle, path: string): Promise<boolean> {
  const [opened, named] = await Promise.all([file.stat({ bigint: true }), lstat(path, { bigint: true }).catch(() => undefined)]);
  return named !== undefined && opened.ino === named.ino && opened.dev === named.dev;
}

/**
 * Removes a snapshot durably before its record is removed: otherwise a power cut could bring back a snapshot without a record.
 *
 * @param file the snapshot itself, if this process has made it
 */
async function removeSnapshot(path: string, file: FileHandle | undefined): Promise<void> {
  if (file !== undefined && !(await isNamed(file, path))) {
    if ((await file.stat()).nlink === 0) return;
    throw new Error(`another process has moved it away from ${path}`);
  }
  try {
    if (!(await lstat(path)).isFile()) throw new Error(`${path} is not a file`);
    await unlink(path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}

async function toSnapshot(plan: Prepared): Promise<Snapshot> {
  const { request, target, copy, earlier } = plan;
  const changes = await changesOf(request.index, { path: target, file: copy }, earlier);
  const { size: bytes } = await copy.stat();
  const view = { kind: 'reflink', path: target, descriptor: copy.fd, bytes, assertIntact: () => assertNamed(plan) };
  return { index: request.index, ...view, ...changes };
}

function failed(index: number, what: string, reason: string, cause?: unknown): GantryError {
  return new GantryError('SNAPSHOT_FAILED', {
    message: `cannot make a reflink of disk ${index} (${what}): ${reason}`,
    hint: 'Free space on its file system, or choose another kind with --snapshot.',
    disk: index,
    cause,
  });
}
