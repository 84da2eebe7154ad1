import { constants, copyFile, open } from 'node:fs/promises';

import { systemErrorCode } from '../system/errno-name.ts';

/** open(2): a file without a name, gone with its descriptor. Its number contains that of O_DIRECTORY, which differs by machine. */
const O_TMPFILE = 0o20_000_000 | constants.O_DIRECTORY;
/** A block of every common file system: less could be kept in the inode, where there is nothing to share. */
const PROBE_BYTES = 65_536;

/**
 * Whether files in a directory can share data, found out by sharing some between two files that never have a name: nothing of it is
 * seen, whenever the process dies. Gives the reason why not, as a clause; undefined when they can.
 */
export async function whyNoReflinks(directory: string): Promise<string | undefined> {
  try {
    await using original = await open(directory, O_TMPFILE | constants.O_RDWR, 0o600);
    await using copy = await open(directory, O_TMPFILE | constants.O_RDWR, 0o600);
    await original.write(Buffer.alloc(PROBE_BYTES, 'gantry'));
    await copyFile(`/proc/self/fd/${original.fd}`, `/proc/self/fd/${copy.fd}`, constants.COPYFILE_FICLONE_FORCE);
    return undefined;
  } catch (error) {
    return reasonOf(systemErrorCode(error), directory);
  }
}

function reasonOf(code: string, directory: string): string {
  switch (code) {
    case 'ENOTSUP':
    case 'EOPNOTSUPP':
    case 'ENOTTY':
    case 'ENOSYS':
    case 'EINVAL':
    case 'EISDIR':
      return `the file system of ${directory} has no reflinks (xfs and btrfs have)`;
    case 'EROFS':
      return `the file system of ${directory} is read-only, and a reflink must be made beside the disk`;
    case 'EACCES':
    case 'EPERM':
      return `a reflink must be made beside the disk, and ${directory} may not be written`;
    case 'ENOSPC':
    case 'EDQUOT':
      return `a reflink must be made beside the disk, and ${directory} has no space left`;
    default:
      return `a reflink beside the disk, in ${directory}, failed (${code})`;
  }
}
