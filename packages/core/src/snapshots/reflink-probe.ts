import { constants, copyFile, open } from 'node:fs/promises';

import { systemErrorCode } from '../system/errno-name.ts';

/** open(2): a file without a name, which is removed with its descriptor. The value includes O_DIRECTORY, which differs by architecture. */
const O_TMPFILE = 0o20_000_000 | constants.O_DIRECTORY;
/** At least one block of every common file system: less may be stored in the inode, where nothing can be shared. */
const PROBE_BYTES = 65_536;

/**
 * Finds out whether files in a directory can share data, by sharing some between two files without a name: nothing is left, no matter
 * when the process dies. Returns the reason why not, as a clause; undefined if they can.
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
      return `the file system of ${directory} does not support reflinks (xfs and btrfs do)`;
    case 'EROFS':
      return `the file system of ${directory} is read-only, and a reflink must be made beside the disk`;
    case 'EACCES':
    case 'EPERM':
      return `a reflink must be made beside the disk, and ${directory} is not writable`;
    case 'ENOSPC':
    case 'EDQUOT':
      return `a reflink must be made beside the disk, and ${directory} has no space left`;
    default:
      return `making a reflink beside the disk, in ${directory}, failed (${code})`;
  }
}
