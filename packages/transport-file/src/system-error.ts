import { constants } from 'node:os';
import { StoreError } from '@gantry/transport';
import type { StoreErrorCode } from '@gantry/transport';

interface Meaning {
  readonly code: StoreErrorCode;
  readonly hint?: string;
}

const DENIED: Meaning = { code: 'denied', hint: 'Give the user who runs this access to the directory.' };
const FULL: Meaning = { code: 'full', hint: 'Make room on the file system, or use another one.' };
const BUSY_DISK: Meaning = { code: 'unavailable', hint: "Look at the system's log: the disk or the network may be failing." };

/** What errno(3) means to a store. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: { code: 'not-found' },
  ENOTDIR: { code: 'not-found' },
  EEXIST: { code: 'exists' },
  EACCES: DENIED,
  EPERM: DENIED,
  EROFS: { code: 'denied', hint: 'The file system is mounted read-only.' },
  ELOOP: DENIED,
  ENOSPC: FULL,
  EDQUOT: FULL,
  EFBIG: { code: 'full', hint: 'The file system takes no file of that size.' },
  EIO: BUSY_DISK,
  ESTALE: BUSY_DISK,
  ETIMEDOUT: BUSY_DISK,
  EMFILE: { code: 'unavailable', hint: 'Raise the limit on open files (ulimit -n).' },
  ENFILE: { code: 'unavailable', hint: 'The system has too many files open.' },
  ENOMEM: { code: 'unavailable' },
};

/** The errors that matter here and that libuv has no names for, by their numbers. */
const UNNAMED: ReadonlyMap<unknown, string> = new Map([
  [-constants.errno.EDQUOT, 'EDQUOT'],
  [-constants.errno.ESTALE, 'ESTALE'],
]);

/** The errno name of a system error, such as `ENOENT`. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  return 'errno' in error ? (UNNAMED.get(error.errno) ?? error.code) : error.code;
}

/** A system error as a store says it; any other error, and the reason of the signal, as it is. */
export function asStoreError(error: unknown, doing: string, key?: string, signal?: AbortSignal): unknown {
  if (signal?.aborted === true && error === signal.reason) return error;
  const code = systemErrorCode(error);
  if (error instanceof StoreError || code === undefined || !(error instanceof Error) || !('syscall' in error)) return error;
  const { code: storeCode, hint } = MEANINGS[code] ?? { code: 'unavailable', hint: undefined };
  return new StoreError(storeCode, { message: `${doing}: ${code}`, key, hint, cause: error });
}
