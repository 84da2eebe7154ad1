import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, statfs } from 'node:fs/promises';

import { findFileLock, isOpenElsewhere } from '../system/file-locks.ts';
import type { DiskUser } from './disk-user.ts';
import { commandName } from './kernel-users.ts';
import { findQemuUse } from './qemu-locks.ts';

/*
 * Users of a disk that are not listed in /proc or /sys, but that block others: processes of other users and containers, and the kernel
 * itself (RAID, DRBD, ZFS, iSCSI targets). Only examined if no listed user was found.
 */

/**
 * The file systems whose leases only depend on this kernel: ext, xfs, btrfs, f2fs, tmpfs (statfs(2)). Those of NFS and CIFS depend on
 * the server, and if it refuses one, that does not mean that the file is open.
 */
const LEASING_FILE_SYSTEMS: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994]);

/** @returns `nobody` if that is certain; undefined if no user was found, which is not certain for a device or another user's file */
export async function findHiddenUser(path: string): Promise<DiskUser | 'nobody' | undefined> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
  if (file === undefined) return undefined;
  const locker = await findLocker(file.fd);
  if (locker !== undefined) return locker;
  if ((await file.stat()).isBlockDevice()) return await findClaim(path);
  const isOpen = (await isLocalFileSystem(path)) ? isOpenElsewhere(file.fd) : undefined;
  if (isOpen !== true) return isOpen === false ? 'nobody' : undefined;
  return { text: 'a process that is not visible here, or the kernel, has it open', writes: true, mayEndSoon: true };
}

async function isLocalFileSystem(path: string): Promise<boolean> {
  return LEASING_FILE_SYSTEMS.has((await statfs(path)).type);
}

async function findLocker(fd: number): Promise<DiskUser | undefined> {
  const qemu = findQemuUse(fd);
  if (qemu !== undefined) {
    const text = `QEMU ${qemu} it: a process that is not visible here holds QEMU's lock on the image`;
    return { text, writes: qemu === 'writes', mayEndSoon: false };
  }
  const lock = findFileLock(fd, 0, 0);
  if (lock === undefined) return undefined;
  const who =
    lock.pid === undefined ? 'a process that is not visible here' : `process ${lock.pid} (${await commandName(String(lock.pid))})`;
  return { text: `${who} has it locked`, writes: true, mayEndSoon: false };
}

/** Mounts, swap, RAID and the like claim a device exclusively, and so does O_EXCL (open(2)). */
async function findClaim(path: string): Promise<DiskUser | undefined> {
  const claimed = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_EXCL).catch(asBusy);
  if (claimed !== 'busy') {
    await claimed?.close();
    return undefined;
  }
  const text = 'the kernel or a program has claimed it (O_EXCL): for example a file system, swap, RAID, a volume group, DRBD or ZFS';
  return { text, writes: true, mayEndSoon: false };
}

function asBusy(error: unknown): FileHandle | 'busy' | undefined {
  return error instanceof Error && 'code' in error && error.code === 'EBUSY' ? 'busy' : undefined;
}
