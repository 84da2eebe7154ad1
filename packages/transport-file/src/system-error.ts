import { constants } from 'node:os';
import type { FileSystemReason } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import type { StoreErrorCode } from '@gantry/transport';

interface Meaning {
  readonly reason?: FileSystemReason;
  readonly code: StoreErrorCode;
  readonly hint?: string;
}

const DENIED: Meaning = { code: 'denied', hint: 'Give the user who runs this access to the directory.' };
const FULL: Meaning = { code: 'full', hint: 'Make room on the file system, or use another one.' };
const BUSY_DISK: Meaning = { code: 'unavailable', hint: "Look at the system's log: the disk or the network may be failing." };
const NOT_EMPTY: Meaning = { reason: 'not-empty', code: 'exists' };
const SPECIAL: Meaning = { reason: 'other-kind', code: 'not-found' };
const NO_LINKS: Meaning = {
  code: 'unsupported',
  hint: 'The file system has no hard links, with which a store creates without replacing: keep the store on ext4, xfs, btrfs or NFS, for instance.',
};

/** What errno(3) means to a store. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: { reason: 'missing', code: 'not-found' },
  ENOTDIR: { reason: 'other-kind', code: 'not-found' },
  EISDIR: { reason: 'other-kind', code: 'exists' },
  EEXIST: { reason: 'exists', code: 'exists' },
  ENOTEMPTY: NOT_EMPTY,
  ELOOP: { reason: 'link', code: 'denied', hint: 'Remove the link; a store follows none.' },
  // A socket, and a device without a driver: see open(2).
  ENXIO: SPECIAL,
  ENODEV: SPECIAL,
  EACCES: DENIED,
  EPERM: DENIED,
  EROFS: {
    code: 'denied',
    hint: 'The file system is mounted read-only: by an administrator, or by the kernel after an error (see its log).',
  },
  ENOSPC: FULL,
  EDQUOT: { code: 'full', hint: 'The quota is used up: make room, or have it raised.' },
  EFBIG: { code: 'full', hint: 'The file system takes no file of that size.' },
  EMLINK: { code: 'full', hint: 'The file system takes no more names in that directory.' },
  EIO: BUSY_DISK,
  ESTALE: BUSY_DISK,
  ETIMEDOUT: BUSY_DISK,
  ENOTCONN: BUSY_DISK,
  EMFILE: { code: 'unavailable', hint: 'Raise the limit on open files (ulimit -n).' },
  ENFILE: { code: 'unavailable', hint: 'The system has too many files open.' },
  ENOMEM: { code: 'unavailable' },
  EXDEV: { code: 'unsupported', hint: 'A store is one file system: mount nothing on directories inside it.' },
};

const WORDS: Readonly<Record<string, string>> = {
  EROFS: 'the file system is read-only',
  ENOSPC: 'the file system is full',
  EDQUOT: 'the quota is used up',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EIO: 'input or output error',
  ESTALE: 'the file system is gone, or its server forgot the file',
};

/** The errors that matter here and that libuv has no names for, by their numbers. */
const UNNAMED: ReadonlyMap<unknown, string> = new Map([
  [-constants.errno.EDQUOT, 'EDQUOT'],
  [-constants.errno.ESTALE, 'ESTALE'],
]);

/** The errno name of a system error, such as `ENOENT`. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string' || !('syscall' in error)) return undefined;
  return 'errno' in error ? (UNNAMED.get(error.errno) ?? error.code) : error.code;
}

/** A system error as a file system says it; any other error as it is. */
function asFileSystemError(error: unknown): unknown {
  const code = systemErrorCode(error);
  if (code === undefined) return error;
  return explained(code, MEANINGS[code] ?? { code: 'unavailable' }, error);
}

/** As {@link asFileSystemError}, for link(2): there EPERM says that the file system has no hard links. */
export function asLinkError(error: unknown): unknown {
  const code = systemErrorCode(error);
  return code === 'EPERM' || code === 'EOPNOTSUPP' ? explained(code, NO_LINKS, error) : asFileSystemError(error);
}

function explained(errno: string, { reason = 'failed', code, hint }: Meaning, cause: unknown): FileSystemError {
  const words = WORDS[errno];
  return new FileSystemError(reason, { code, hint, message: words === undefined ? errno : `${words} (${errno})`, cause });
}

/** Runs system calls, and says their errors as a file system does. */
export async function calling<T>(call: Promise<T>, translate: (error: unknown) => unknown = asFileSystemError): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw translate(error);
  }
}
