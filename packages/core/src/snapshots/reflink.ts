import { chmod, constants, copyFile, lstat, open, realpath, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import { z } from 'zod';

import { GantryError } from '../report/errors.ts';
import { systemErrorCode } from '../system/system-error-code.ts';
import { Interruption } from '../system/interruption.ts';
import { syncDirectory } from '../system/durable.ts';
import { errorText } from '../report/error-text.ts';
import { copyNoCopyOnWrite } from '../disks/inode-flags.ts';
import type { Snapshot, SnapshotContext, SnapshotProvider, SnapshotRequest } from './provider.ts';
import type { SnapshotRecord } from '../runs/run-record.ts';
import { whyNoReflinks } from './reflink-probe.ts';

/*
 * A snapshot of a disk that is a file: another file beside it that shares its data, made by FICLONE. It is atomic with regard to
 * writers (FICLONE(2const)): xfs and btrfs keep writes, direct ones and those of mapped memory too, out of the file from before they
 * flush its cached data until all of it is shared. So it is the disk as a power cut at that moment would have left it. Several disks
 * are cloned one right after the other, in their order: a moment apart, not at one moment.
 */

/** One disk on its way to being cloned. */
interface Plan {
  readonly request: SnapshotRequest;
  readonly source: string;
  readonly target: string;
}

const LONGEST_FILE_NAME_BYTES = 255;
/** What a snapshot of ours is called; nothing else is ever removed. */
const SNAPSHOT_NAME = /^\..+\.gantry-[0-9TZ-]+\.snap$/;
const recordSchema = z.object({ path: z.string().startsWith('/') });

/** Snapshots of disks that are files, on file systems with reflinks. */
export function createReflinkProvider(): SnapshotProvider {
  // A clone that is under way cannot be stopped, and would make its file again after it was removed.
  const underWay = new Map<string, Promise<void>>();

  const clone = async (plan: Plan, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    const work = cloneFile(plan).finally(() => underWay.delete(plan.target));
    underWay.set(plan.target, work);
    using interruption = new Interruption(signal);
    await interruption.race(work);
  };

  return {
    name: 'reflink',
    supports: whyOrWhyNot,

    async take(requests, context) {
      const plans = await Promise.all(requests.map((request) => planSnapshot(request, context)));
      // What takes time comes before the first clone, so that they are as near to each other as they can be.
      for (const plan of plans) await prepare(plan, context);
      for (const plan of plans) await flush(plan, context.signal);
      for (const plan of plans) await clone(plan, context.signal);
      return plans.map(toSnapshot);
    },

    async drop(record, signal) {
      const { path } = recordSchema.parse(record.data);
      if (!SNAPSHOT_NAME.test(basename(path))) throw new Error(`${path} is not named as a snapshot of Gantry`);
      using interruption = new Interruption(signal);
      await interruption.race(underWay.get(path)?.catch(() => undefined) ?? Promise.resolve());
      await removeFile(path);
    },
  };
}

async function whyOrWhyNot({ disk }: SnapshotRequest, signal: AbortSignal): Promise<{ ok: true } | { ok: false; reason: string }> {
  signal.throwIfAborted();
  if (disk.path === undefined) return { ok: false, reason: 'it has a URI and no path' };
  try {
    const path = await realpath(disk.path);
    if (!(await stat(path)).isFile()) return { ok: false, reason: 'it is not a regular file' };
    const reason = await whyNoReflinks(dirname(path));
    return reason === undefined ? { ok: true } : { ok: false, reason };
  } catch (error) {
    return { ok: false, reason: `it cannot be looked at (${systemErrorCode(error)})` };
  }
}

async function planSnapshot(request: SnapshotRequest, { runId }: SnapshotContext): Promise<Plan> {
  const { disk, index } = request;
  if (disk.path === undefined) throw failed(index, 'a disk without a path', 'it has a URI alone');
  try {
    // Beside the file itself, not beside a link to it.
    const source = await realpath(disk.path);
    const name = `.${basename(source)}.${runId}.snap`;
    const fits = Buffer.byteLength(name) <= LONGEST_FILE_NAME_BYTES;
    return { request, source, target: join(dirname(source), fits ? name : `.disk${index}.${runId}.snap`) };
  } catch (error) {
    throw failed(index, disk.path, errorText(error), error);
  }
}

/** Makes the empty file that takes the clone, for its owner alone whatever the disk's mode is. */
async function prepare({ request: { index }, source, target }: Plan, { remember }: SnapshotContext): Promise<void> {
  const record: SnapshotRecord = { provider: 'reflink', index, description: `snapshot ${target} of disk ${index}`, data: { path: target } };
  await remember(record);
  try {
    await using original = await open(source, 'r');
    await using copy = await open(target, 'wx', 0o600);
    copyNoCopyOnWrite(original.fd, copy.fd);
  } catch (error) {
    throw failed(index, source, errorText(error), error);
  }
}

/** FICLONE writes out what is cached of the file while nobody may write to it: what is written out before need not wait then. */
async function flush({ request: { index }, source }: Plan, signal: AbortSignal): Promise<void> {
  const work = async (): Promise<void> => {
    await using file = await open(source, 'r');
    await file.datasync();
  };
  using interruption = new Interruption(signal);
  try {
    signal.throwIfAborted();
    await interruption.race(work());
  } catch (error) {
    signal.throwIfAborted();
    throw failed(index, source, errorText(error), error);
  }
}

async function cloneFile({ request: { index }, source, target }: Plan): Promise<void> {
  try {
    await copyFile(source, target, constants.COPYFILE_FICLONE_FORCE);
    // libuv gives the copy the mode of the original.
    await chmod(target, 0o600);
  } catch (error) {
    throw failed(index, source, errorText(error), error);
  }
}

/** Gone for good before the record of it is: a snapshot that came back after a power cut would be nobody's. */
async function removeFile(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isFile()) throw new Error(`${path} is not a file`);
    await unlink(path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}

function toSnapshot({ request, target }: Plan): Snapshot {
  return { index: request.index, kind: 'reflink', path: target };
}

function failed(index: number, what: string, reason: string, cause?: unknown): GantryError {
  return new GantryError('SNAPSHOT_FAILED', {
    message: `cannot make a reflink of disk ${index} (${what}): ${reason}`,
    hint: 'Free space on its file system, or choose another way with --snapshot.',
    disk: index,
    cause,
  });
}
