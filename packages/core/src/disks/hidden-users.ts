import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, statfs } from 'node:fs/promises';

import { findFileLock, isOpenElsewhere } from '../system/file-locks.ts';
import type { DiskUser } from './disk-user.ts';
import { commandName } from './kernel-users.ts';
import { findQemuUse } from './qemu-locks.ts';

/*
 * Users of a disk that no table names, but that the kernel heeds: processes of other users and containers, and the kernel's own
 * (RAID, DRBD, ZFS, iSCSI targets). Asked where nobody was found by name.
 */

/**
 * The file systems whose leases are the kernel's own: ext, xfs, btrfs, f2fs, tmpfs (statfs(2)). Those of NFS and CIFS depend on what the server
 * has granted, and a refusal there does not say that somebody has the file open.
 */
const LEASING_FILE_SYSTEMS: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994]);

/** @returns `nobody` where that is sure; undefined where nothing was found, which for a device or another user's file is less */
export async function findHiddenUser(path: string): Promise<DiskUser | 'nobody' | undefined> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
  if (file === undefined) return undefined;
  const locker = await findLocker(file.fd);
  if (locker !== undefined) return locker;
  if ((await file.stat()).isBlockDevice()) return await findClaim(path);
  const isOpen = (await isLocalFileSystem(path)) ? isOpenElsewhere(file.fd) : undefined;
  if (isOpen !== true) return isOpen === false ? 'nobody' : undefined;
  return { text: 'a process that cannot be seen, or the kernel, has it open', writes: true, mayPass: true };
}

async function isLocalFileSystem(path: string): Promise<boolean> {
  return LEASING_FILE_SYSTEMS.has((await statfs(path)).type);
}

async function findLocker(fd: number): Promise<DiskUser | undefined> {
  const qemu = findQemuUse(fd);
  if (qemu !== undefined) {
    const text = `QEMU ${qemu} it: a process that cannot be seen holds the lock that QEMU puts on an image`;
    return { text, writes: qemu === 'writes', mayPass: false };
  }
  const lock = findFileLock(fd, 0, 0);
  if (lock === undefined) return undefined;
  const who = lock.pid === undefined ? 'a process that cannot be seen' : `process ${lock.pid} (${await commandName(String(lock.pid))})`;
  return { text: `${who} has it locked`, writes: true, mayPass: false };
}

/** Mounting, swapping, RAID and the like claim a device for themselves, which O_EXCL does too (open(2)). */
async function findClaim(path: string): Promise<DiskUser | undefined> {
  const claimed = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_EXCL).catch(asBusy);
  if (claimed !== 'busy') {
    await claimed?.close();
    return undefined;
  }
  const text = 'the kernel or a program has it for itself (O_EXCL): a file system, swap, RAID, a volume group, DRBD or ZFS, for instance';
  return { text, writes: true, mayPass: false };
}

function asBusy(error: unknown): FileHandle | 'busy' | undefined {
  return error instanceof Error && 'code' in error && error.code === 'EBUSY' ? 'busy' : undefined;
}
