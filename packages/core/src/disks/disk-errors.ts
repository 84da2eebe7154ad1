import { errorText } from '../report/error-text.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import { errnoName } from '../system/errno-name.ts';

const KINDS: Readonly<Record<string, readonly [GantryErrorCode, string]>> = {
  ENOENT: ['DISK_MISSING', 'Correct its path in the instance file, or activate the device.'],
  ENOTDIR: ['DISK_MISSING', 'Correct its path in the instance file, or activate the device.'],
  ENXIO: ['DISK_MISSING', 'Activate the device.'],
  EACCES: ['DISK_DENIED', 'Run Gantry as a user with access to it, usually root.'],
  EPERM: ['DISK_DENIED', 'Run Gantry as a user with access to it, usually root.'],
  EMEDIUMTYPE: ['DISK_DENIED', 'DRBD refuses it on a secondary: run Gantry on the node where the resource is primary.'],
  EROFS: ['DISK_READ_ONLY', 'Make the device or its file system writable.'],
  EBUSY: ['BUSY', 'Unmount it or stop the program that uses it; an instance must not run while its disk is written.'],
  ENOSPC: ['DISK_IO', 'Make room on the file system or the volume group that the disk is on.'],
  EDQUOT: ['DISK_IO', 'Make room: the quota on the file system that the disk is on is used up.'],
};

/**
 * The error for a failed system call on a disk.
 *
 * @param action a verb, such as `flush`, or a phrase, such as `read at byte 0 of`
 */
export function diskCallError(path: string, action: string, error: unknown): GantryError {
  if (error instanceof GantryError) return error;
  const errno = errnoName(error) ?? '';
  const [code, hint] = KINDS[errno] ?? ['DISK_IO', 'The kernel log (dmesg) may say more about the device.'];
  const what = errorText(error).replaceAll(/Unknown system error -\d+/g, errno);
  return new GantryError(code, { message: `cannot ${action} ${path}: ${what}`, hint, cause: error });
}
