import { platform } from 'node:os';

import { processFunction } from '../system/process-library.ts';

/*
 * Inode flags (FS_IOC_GETFLAGS(2const)). btrfs does not let a file that has FS_NOCOW_FL (`chattr +C`, as is usual for disk images)
 * share data with one that has not, and takes the flag only while a file is empty.
 */

/** `_IOR('f', 1, long)` and `_IOW('f', 2, long)` of linux/fs.h, for machines whose long has 64 bits. */
const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_NOCOW_FL = 0x0080_0000;

type Ioctl = (fd: number, request: number, flags: [number]) => number;

let ioctl: Ioctl | undefined;

function loadIoctl(): Ioctl | undefined {
  if (platform() !== 'linux') return undefined;
  ioctl ??= processFunction('int ioctl(int fd, unsigned long request, _Inout_ int *flags)') as Ioctl;
  return ioctl;
}

/** Gives the empty file `copy` the flag that `original` has, so that it can share its data. Does nothing where there are no flags. */
export function copyNoCopyOnWrite(original: number, copy: number): void {
  const flags: [number] = [0];
  if (loadIoctl()?.(original, FS_IOC_GETFLAGS, flags) !== 0 || (flags[0] & FS_NOCOW_FL) === 0) return;
  const own: [number] = [0];
  if (ioctl?.(copy, FS_IOC_GETFLAGS, own) === 0) ioctl(copy, FS_IOC_SETFLAGS, [own[0] | FS_NOCOW_FL]);
}
