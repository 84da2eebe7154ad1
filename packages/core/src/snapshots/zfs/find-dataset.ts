import type { BigIntStats } from 'node:fs';
import { constants, open, realpath } from 'node:fs/promises';
import { basename } from 'node:path';

import { deviceNumber } from '../../disks/disk-identity.ts';
import { mountOfFile } from './mount-of-file.ts';
import { volumeName } from './volume-name.ts';

/** open(2): a descriptor that only says which file it is. What is there is not opened: it may be a named pipe, or locked. */
const O_PATH = 0o10_000_000;

/** The dataset that a disk is, or that its file is in. */
export type FoundDataset =
  | { readonly kind: 'volume'; readonly name: string }
  /** `inside`: the path in the file system. `inode` is the same in its snapshots. */
  | { readonly kind: 'file'; readonly name: string; readonly inside: string; readonly inode: bigint };

/**
 * Asks the kernel whether a disk is a volume of ZFS, or a file on a file system of ZFS.
 * @returns why not, one clause, where it is neither
 * @throws the error of a system call
 */
export async function findDataset(path: string): Promise<FoundDataset | string> {
  await using file = await open(path, O_PATH);
  const stats = await file.stat({ bigint: true });
  if (stats.isBlockDevice()) return await findVolume(path, stats);
  if (!stats.isFile()) return 'it is neither a block device nor a regular file';
  const mount = await mountOfFile(file.fd);
  if (mount === undefined) return 'the kernel does not say on which file system it is';
  if (mount.type !== 'zfs') return 'it is not on a file system of ZFS';
  if (mount.source.includes('@')) return `it is in a snapshot of ZFS (${mount.source})`;
  return { kind: 'file', name: mount.source, inside: mount.inside, inode: stats.ino };
}

async function findVolume(path: string, { rdev }: BigIntStats): Promise<FoundDataset | string> {
  // The driver gives its devices this name in the kernel, where nobody can rename them.
  const device = basename(await realpath(`/sys/dev/block/${deviceNumber(rdev)}`));
  if (!/^zd\d+/.test(device)) return 'it is not a volume of ZFS';
  if (!/^zd\d+$/.test(device)) return 'it is a partition of a volume of ZFS';
  await using file = await open(path, constants.O_RDONLY);
  const name = volumeName(file.fd);
  return name.includes('@') ? `it is a snapshot of ZFS itself (${name})` : { kind: 'volume', name };
}
