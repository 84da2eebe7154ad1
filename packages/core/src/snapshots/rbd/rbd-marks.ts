import type { DiskRange } from '../../frames/changed-frames.ts';
import { errorText } from '../../report/error-text.ts';
import { GantryError } from '../../report/errors.ts';
import { askedMark } from '../asked-mark.ts';
import type { ChangeMark, Snapshot, SnapshotRequest } from '../provider.ts';
import { changesBetween, snapshotId } from './rbd-commands.ts';
import type { RbdImage } from './rbd-image.ts';
import { imageUri, parseRbdUri } from './rbd-image.ts';

/*
 * The mark that a snapshot of RBD leaves is the snapshot itself, which is kept until the next one. It costs what is written to the image
 * meanwhile, in objects of 4 MiB.
 */

/** The names of Gantry's snapshots; others are never removed. */
export const SNAPSHOT_NAME: RegExp = /^gantry-[\w.+-]+$/;

/** The name of the snapshot that an earlier export has kept; or why what changed since then cannot be said. */
export type EarlierSnapshot = { readonly name: string } | { readonly whyAll: string };

/** Finds the snapshot of a mark. Undefined if the request does not want a mark. @throws as `snapshotId` */
export async function findEarlier(image: RbdImage, { track }: SnapshotRequest, signal: AbortSignal): Promise<EarlierSnapshot | undefined> {
  if (track === undefined) return undefined;
  const asked = askedMark(track, 'rbd', parseMark);
  if ('whyAll' in asked) return asked;
  const kept = asked.since;
  if (kept.image.spec !== image.spec) return { whyAll: `the earlier export was of the image ${kept.image.spec}` };
  const isThere = (await snapshotId(image, kept.name, signal)) === kept.id;
  return isThere ? { name: kept.name } : { whyAll: `the snapshot ${image.spec}@${kept.name} of the earlier export is gone` };
}

/** What a snapshot leaves when it is kept. */
export function changesOf(
  index: number,
  { image, name, id }: { readonly image: RbdImage; readonly name: string; readonly id: number },
  earlier: EarlierSnapshot | undefined,
): Pick<Snapshot, 'changes'> {
  if (earlier === undefined) return {};
  const mark: ChangeMark = { provider: 'rbd', name: `${id} ${name} ${imageUri(image)}` };
  if ('whyAll' in earlier) return { changes: { mark, since: { known: false, reason: earlier.whyAll } } };
  const ranges = (signal: AbortSignal): AsyncIterable<DiskRange> => readChanges(index, image, { since: earlier.name, until: name }, signal);
  return { changes: { mark, since: { known: true, ranges } } };
}

/** The snapshot of a mark. */
interface MarkedSnapshot {
  readonly image: RbdImage;
  /** In its cluster. */
  readonly id: number;
  readonly name: string;
}

/** Undefined if it is not a mark of Gantry. */
export function parseMark({ name }: ChangeMark): MarkedSnapshot | undefined {
  const [, id, snapshot = '', uri = ''] = /^(\d+) (\S+) (.+)$/s.exec(name) ?? [];
  const image = parseRbdUri(uri);
  return image !== undefined && 'spec' in image && SNAPSHOT_NAME.test(snapshot) ? { image, id: Number(id), name: snapshot } : undefined;
}

async function* readChanges(
  disk: number,
  image: RbdImage,
  between: { readonly since: string; readonly until: string },
  signal: AbortSignal,
): AsyncGenerator<DiskRange, void, undefined> {
  try {
    yield* await changesBetween(image, between, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw new GantryError('DISK_IO', {
      message: `cannot find out what changed on disk ${disk}: ${errorText(error)}`,
      hint: 'Export without --track-changes.',
      disk,
      cause: error,
    });
  }
}
