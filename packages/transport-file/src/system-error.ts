import { constants } from 'node:os';
import type { FileSystemReason } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import type { StoreErrorCode } from '@gantry/transport';

interface Meaning {
  readonly reason?: FileSystemReason;
  readonly code: StoreErrorCode;
  readonly hint?: string;
}

const DENIED: Meaning = { code: 'denied', hint: 'Give the user who runs gantry access to the directory.' };
const FULL: Meaning = { code: 'full', hint: 'Free some space on the file system, or use another one.' };
const FAILING_DISK: Meaning = { code: 'unavailable', hint: "Check the system's log: the disk or the network may be failing." };
const NOT_EMPTY: Meaning = { reason: 'not-empty', code: 'exists' };
const SPECIAL: Meaning = { reason: 'other-kind', code: 'not-found' };
const NO_LINKS: Meaning = {
  code: 'unsupported',
  hint: 'The file system lacks hard links, which a store needs: keep the store on ext4, xfs, btrfs or NFS, for example.',
};

/** The meaning of errno(3) names for a store. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: { reason: 'missing', code: 'not-found' },
  ENOTDIR: { reason: 'other-kind', code: 'not-found' },
  EISDIR: { reason: 'other-kind', code: 'exists' },
  EEXIST: { reason: 'exists', code: 'exists' },
  ENOTEMPTY: NOT_EMPTY,
  ELOOP: { reason: 'link', code: 'denied', hint: 'Remove the link: a store does not follow symbolic links.' },
  // A socket, or a device without a driver: see open(2).
  ENXIO: SPECIAL,
  ENODEV: SPECIAL,
  EACCES: DENIED,
  EPERM: DENIED,
  EROFS: {
    code: 'denied',
    hint: 'The file system is mounted read-only: by an administrator, or by the kernel after an error (see its log).',
  },
  ENOSPC: FULL,
  EDQUOT: { code: 'full', hint: 'Remove something, or have the quota raised.' },
  EFBIG: { code: 'full', hint: 'The file system does not support files of that size.' },
  EMLINK: { code: 'full', hint: 'The file system does not support more names in that directory.' },
  EIO: FAILING_DISK,
  ESTALE: FAILING_DISK,
  ETIMEDOUT: FAILING_DISK,
  ENOTCONN: FAILING_DISK,
  EMFILE: { code: 'unavailable', hint: 'Raise the limit on open files (ulimit -n).' },
  ENFILE: { code: 'unavailable', hint: 'The system has too many files open.' },
  ENOMEM: { code: 'unavailable' },
  EXDEV: { code: 'unsupported', hint: 'A store must be on one file system: do not mount others on directories inside it.' },
};

const DESCRIPTIONS: Readonly<Record<string, string>> = {
  EROFS: 'the file system is read-only',
  ENOSPC: 'the file system is full',
  EDQUOT: 'the quota is used up',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EIO: 'input or output error',
  ESTALE: 'the file system is gone, or its server forgot the file',
};

/** Relevant errors that libuv has no names for, by their numbers. */
const UNNAMED: ReadonlyMap<unknown, string> = new Map([
  [-constants.errno.EDQUOT, 'EDQUOT'],
  [-constants.errno.ESTALE, 'ESTALE'],
]);

/** The errno name of a system error, such as `ENOENT`. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string' || !('syscall' in error)) return undefined;
  return 'errno' in error ? (UNNAMED.get(error.errno) ?? error.code) : error.code;
}

/** Turns a system error into a FileSystemError; returns any other error unchanged. */
function asFileSystemError(error: unknown): unknown {
  const code = systemErrorCode(error);
  if (code === undefined) return error;
  return explained(code, MEANINGS[code] ?? { code: 'unavailable' }, error);
}

/** As {@link asFileSystemError}, for link(2), where EPERM means that the file system lacks hard links. */
export function asLinkError(error: unknown): unknown {
  const code = systemErrorCode(error);
  return code === 'EPERM' || code === 'EOPNOTSUPP' ? explained(code, NO_LINKS, error) : asFileSystemError(error);
}

function explained(errno: string, { reason = 'failed', code, hint }: Meaning, cause: unknown): FileSystemError {
  const description = DESCRIPTIONS[errno];
  return new FileSystemError(reason, { code, hint, message: description === undefined ? errno : `${description} (${errno})`, cause });
}

/** Runs system calls, and turns their errors into those of a file system. */
export async function calling<T>(call: Promise<T>, translate: (error: unknown) => unknown = asFileSystemError): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw translate(error);
  }
}
