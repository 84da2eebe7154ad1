import { z } from 'zod';

import { errnoName } from '../../system/errno-name.ts';
import type { DiskRange } from '../../frames/changed-frames.ts';
import type { ProcessGroup } from '../../system/process-group.ts';
import { runCommand } from '../../system/run-command.ts';
import type { RbdImage } from './rbd-image.ts';
import { clientOptions } from './rbd-image.ts';

/** A client waits for its cluster for ever. */
const TIMEOUT_S = 60;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Asks every object of the image where it has no map of them: some ms each. */
const DIFF_TIMEOUT_S = 3600;
/** Of some 250,000 ranges. */
const MAX_DIFF_BYTES = 16 * 1024 * 1024;

export interface RbdOptions {
  readonly signal: AbortSignal;
  readonly started?: (group: ProcessGroup) => Promise<void>;
}

/** The program `rbd` is not there. */
export class RbdMissingError extends Error {
  override readonly name = 'RbdMissingError';
}

const infoSchema = z.object({ size: z.int().nonnegative() });
const changesSchema = z.array(z.object({ offset: z.int().nonnegative(), length: z.int().nonnegative() }));
const snapshotsSchema = z.array(z.object({ id: z.int(), name: z.string() }));

/** The image, or its pool, does not exist. */
export class RbdImageGone extends Error {
  override readonly name = 'RbdImageGone';
}

/** Bytes of an image. @throws RbdMissingError, RbdImageGone, Error with the last lines of rbd(8), the signal's reason */
export async function imageSize(image: RbdImage, signal: AbortSignal): Promise<number> {
  return infoSchema.parse(JSON.parse(await rbd(image, ['info', '--format=json', image.spec], { signal }))).size;
}

/** Bytes of a snapshot, which can differ from those of its image now. @throws as {@link imageSize} */
export async function snapshotSize(image: RbdImage, name: string, signal: AbortSignal): Promise<number> {
  return await imageSize({ ...image, spec: `${image.spec}@${name}` }, signal);
}

/** The number that the snapshot of this name has in its cluster. @throws as {@link imageSize} */
export async function snapshotId(image: RbdImage, name: string, signal: AbortSignal): Promise<number | undefined> {
  const answer = await rbd(image, ['snap', 'ls', '--format=json', image.spec], { signal });
  return snapshotsSchema.parse(JSON.parse(answer)).find((snapshot) => snapshot.name === name)?.id;
}

/** @throws as {@link imageSize} */
export async function createSnapshot(image: RbdImage, name: string, options: RbdOptions): Promise<void> {
  await rbd(image, ['snap', 'create', '--no-progress', `${image.spec}@${name}`], options);
}

/**
 * The ranges that were written to, or discarded, between two snapshots of an image, in order: `rbd diff`.
 * @throws as {@link imageSize}
 */
export async function changesBetween(
  image: RbdImage,
  { since, until }: { readonly since: string; readonly until: string },
  signal: AbortSignal,
): Promise<readonly DiskRange[]> {
  const parameters = ['diff', '--format=json', `--from-snap=${since}`, `${image.spec}@${until}`];
  const answer = await rbd(image, parameters, { signal, timeoutS: DIFF_TIMEOUT_S, keptBytes: MAX_DIFF_BYTES });
  return changesSchema.parse(JSON.parse(answer)).toSorted((a, b) => a.offset - b.offset);
}

/** Does nothing if there is none. @throws as {@link imageSize} */
export async function removeSnapshot(image: RbdImage, name: string, signal: AbortSignal): Promise<void> {
  if ((await snapshotId(image, name, signal)) !== undefined)
    await rbd(image, ['snap', 'rm', '--no-progress', `${image.spec}@${name}`], { signal });
}

interface CommandLimits extends RbdOptions {
  readonly timeoutS?: number;
  readonly keptBytes?: number;
}

async function rbd(image: RbdImage, parameters: readonly string[], options: CommandLimits): Promise<string> {
  try {
    return await runCommand(['rbd', ...clientOptions(image), ...parameters], {
      timeoutS: TIMEOUT_S,
      keptBytes: MAX_ANSWER_BYTES,
      ...options,
    });
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof Error)) throw error;
    if (/error opening (?:image|pool) .*\(2\) No such file/s.test(error.message)) throw new RbdImageGone(error.message, { cause: error });
    if (errnoName(error.cause) !== 'ENOENT') throw error;
    throw new RbdMissingError('rbd is not installed (Debian package ceph-common)', { cause: error });
  }
}
