import koffi from 'koffi';
import { nameOfErrno } from './errno-name.ts';
import type { Native } from './process-library.ts';
import { callOnThread, processFunction } from './process-library.ts';

/* The few calls of the C library that Node does not offer. */
const PROTOTYPES = {
  fcntl: 'int fcntl(int fd, int command, intptr_t argument)',
  fcntl_pointer: 'int fcntl(int fd, int command, void *argument)',
  flock: 'int flock(int fd, int operation)',
  lseek: 'int64_t lseek(int fd, int64_t offset, int whence)',
  fallocate: 'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
  sync_file_range: 'int sync_file_range(int fd, int64_t offset, int64_t length, uint flags)',
  posix_fadvise: 'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
  getsid: 'int getsid(int pid)',
  memfd_create: 'int memfd_create(const void *name, uint flags)',
  ioctl: 'int ioctl(int fd, ulong request, void *argument)',
  ficlone: 'int ioctl(int fd, ulong request, int original)',
  ioprio_set: 'long syscall(long number, int which, int who, int priority)',
} as const;

type CallName = keyof typeof PROTOTYPES;

const found = new Map<CallName, Native>();

/** A failed system call, in the form of Node's own errors: `code` is the name of the errno, such as `EINVAL`. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number) {
    const code = nameOfErrno(errno);
    super(`${code}: ${syscall} failed`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/**
 * Calls on this thread; a call that was interrupted by a signal is repeated.
 *
 * @throws SystemCallError where the call returns -1
 */
export function callLibc(name: CallName, ...parameters: readonly (number | Uint8Array)[]): number {
  for (;;) {
    const result = outcome(name, native(name)(...parameters));
    if (result !== INTERRUPTED) return result;
  }
}

/**
 * Calls on another thread: for calls that may take long.
 *
 * @throws SystemCallError where the call returns -1
 */
export async function callLibcOnThread(name: CallName, ...parameters: readonly number[]): Promise<number> {
  for (;;) {
    const result = await callOnThread(native(name), parameters, (returned) => outcome(name, returned));
    if (result !== INTERRUPTED) return result;
  }
}

const INTERRUPTED: unique symbol = Symbol('EINTR');

/** To be called at once: the next call overwrites errno. */
function outcome(name: CallName, returned: unknown): number | typeof INTERRUPTED {
  if (returned !== -1) return Number(returned);
  const error = new SystemCallError(name, koffi.errno());
  if (error.code === 'EINTR') return INTERRUPTED;
  throw error;
}

function native(name: CallName): Native {
  const known = found.get(name);
  if (known !== undefined) return known;
  const call = processFunction(PROTOTYPES[name]);
  found.set(name, call);
  return call;
}
