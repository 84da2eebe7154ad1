import { callLibc } from '../../system/libc.ts';

/** `_IOR(0x12, 125, char[256])` of ZFS's sys/fs/zfs.h: the name of the dataset that a device shows. */
const BLKZNAME = 0x8100_127d;
const MAX_NAME_BYTES = 4096;

/** The name that a volume of ZFS has now; of its snapshots with `@`. @throws SystemCallError where the device is not one of ZFS */
export function volumeName(fd: number): string {
  const name = Buffer.alloc(MAX_NAME_BYTES);
  callLibc('ioctl', fd, BLKZNAME, name);
  return name.subarray(0, name.indexOf(0)).toString();
}
