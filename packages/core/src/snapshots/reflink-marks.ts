import type { FileHandle } from 'node:fs/promises';
import { constants, lstat, open } from 'node:fs/promises';
import { basename } from 'node:path';

import { errorText } from '../report/error-text.ts';
import { askedMark } from './asked-mark.ts';
import type { ChangeMark, Snapshot, SnapshotRequest } from './provider.ts';
import { differentRanges } from './reflink-changes.ts';

/*
 * The mark that a reflink leaves is the clone itself, which is kept until the next one. It costs what is written to the disk meanwhile.
 */

/** The names of Gantry's snapshots; files with other names are never removed. */
export const SNAPSHOT_NAME: RegExp = /^\..+\.gantry-[0-9TZ-]+\.snap$/;

/** The clone that an earlier export has kept, open; or why what changed since then cannot be said. */
export type EarlierClone = { readonly path: string; readonly file: FileHandle } | { readonly whyAll: string };

/** Finds the clone of a mark. Undefined if the request does not want a mark. */
export async function findEarlier({ track }: SnapshotRequest, disk: FileHandle): Promise<EarlierClone | undefined> {
  if (track === undefined) return undefined;
  const asked = askedMark(track, 'reflink', ({ name }) => {
    const path = pathOf(name);
    return path === undefined ? undefined : { name, path };
  });
  if ('whyAll' in asked) return asked;
  const { name, path } = asked.since;
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const whyAll = await whyUnusable({ path, file }, name, disk);
    if (whyAll === undefined) return { path, file };
    await file.close();
    return { whyAll };
  } catch (error) {
    await file?.close();
    return { whyAll: `the clone ${path} of the earlier export cannot be opened: ${errorText(error)}` };
  }
}

/** Why a clone says nothing of what changed on the disk: one clause. */
async function whyUnusable(
  { path, file }: { readonly path: string; readonly file: FileHandle },
  name: string,
  disk: FileHandle,
): Promise<string | undefined> {
  const [kept, now] = [await file.stat({ bigint: true }), await disk.stat({ bigint: true })];
  // On two file systems, different data can be at places of the same numbers.
  if (kept.dev !== now.dev) return `the disk is on another file system than the clone ${path} of the earlier export`;
  if (kept.size !== now.size) return 'the disk was resized';
  return nameOf(kept, path) === name ? undefined : `another process has changed or replaced ${path}`;
}

/** What a clone leaves when it is kept. */
export async function changesOf(
  index: number,
  { path, file }: { readonly path: string; readonly file: FileHandle },
  earlier: EarlierClone | undefined,
): Promise<Pick<Snapshot, 'changes'>> {
  if (earlier === undefined) return {};
  const mark: ChangeMark = { provider: 'reflink', name: await markName(file, path) };
  if ('whyAll' in earlier) return { changes: { mark, since: { known: false, reason: earlier.whyAll } } };
  const bytes = (await file.stat()).size;
  return {
    changes: { mark, since: { known: true, ranges: (signal) => differentRanges(earlier.file, file, { bytes, disk: index, signal }) } },
  };
}

/** Whether a path still leads to the clone of a mark. */
export async function isClone(path: string, name: string): Promise<boolean> {
  const stats = await lstat(path, { bigint: true }).catch(() => undefined);
  return stats?.isFile() === true && nameOf(stats, path) === name;
}

/** The path in the name of a mark; undefined if it is not one that a snapshot of Gantry has. */
export function pathOf(name: string): string | undefined {
  const path = /^\d+ \d+ (\/.+)$/s.exec(name)?.[1];
  return path !== undefined && SNAPSHOT_NAME.test(basename(path)) ? path : undefined;
}

async function markName(file: FileHandle, path: string): Promise<string> {
  return nameOf(await file.stat({ bigint: true }), path);
}

/** With what changes when the file is written to or replaced. */
function nameOf({ ino, mtimeNs }: { readonly ino: bigint; readonly mtimeNs: bigint }, path: string): string {
  return `${ino} ${mtimeNs} ${path}`;
}
