import { platform } from 'node:os';

import { processFunction } from '../system/process-library.ts';

/*
 * Inode flags (FS_IOC_GETFLAGS(2const)). On btrfs, a file with FS_NOCOW_FL (`chattr +C`, common for disk images) cannot share data
 * with a file without it, and the flag can only be set on an empty file.
 */

/** `_IOR('f', 1, long)` and `_IOW('f', 2, long)` of linux/fs.h, for machines with a 64-bit long. */
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

/** Sets the flag on the empty file `copy` if `original` has it, so that they can share data. Does nothing if flags are not supported. */
export function copyNoCopyOnWrite(original: number, copy: number): void {
  const flags: [number] = [0];
  if (loadIoctl()?.(original, FS_IOC_GETFLAGS, flags) !== 0 || (flags[0] & FS_NOCOW_FL) === 0) return;
  const own: [number] = [0];
  if (ioctl?.(copy, FS_IOC_GETFLAGS, own) === 0) ioctl(copy, FS_IOC_SETFLAGS, [own[0] | FS_NOCOW_FL]);
}
