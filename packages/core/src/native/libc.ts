import koffi from 'koffi';

/*
 * The few calls of the C library that Node has no name for. They come from the running process itself (dlopen(3) of NULL), so that
 * the name of the C library's file does not matter.
 */

const PROTOTYPES = {
  flock: 'int flock(int fd, int operation)',
  lseek: 'int64_t lseek(int fd, int64_t offset, int whence)',
  fallocate: 'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
} as const;

type CallName = keyof typeof PROTOTYPES;
type Native = ReturnType<ReturnType<typeof koffi.load>['func']>;

const loaded = new Map<CallName, Native>();
let library: ReturnType<typeof koffi.load> | undefined;

/** A system call that failed, in the form of Node's own errors: `code` is the name of the errno, such as `EINVAL`. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number) {
    const code = errnoName(errno);
    super(`${code}: ${syscall} failed`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/**
 * Calls on this thread; a call that a signal interrupted is made again.
 *
 * @throws SystemCallError where the call says -1
 */
export function callLibc(name: CallName, ...parameters: readonly number[]): number {
  for (;;) {
    const result = native(name)(...parameters) as unknown;
    const error = result === -1 ? new SystemCallError(name, koffi.errno()) : undefined;
    if (error === undefined) return Number(result);
    if (error.code !== 'EINTR') throw error;
  }
}

/**
 * Calls on another thread, for calls that may take long.
 *
 * @throws SystemCallError where the call says -1
 */
export async function callLibcAside(name: CallName, ...parameters: readonly number[]): Promise<number> {
  for (;;) {
    const { result, error } = await callOnce(name, parameters);
    if (error === undefined) return result;
    if (error.code !== 'EINTR') throw error;
  }
}

function callOnce(name: CallName, parameters: readonly number[]): Promise<{ result: number; error?: SystemCallError }> {
  return new Promise((resolve, reject) => {
    native(name).async(...parameters, (failure: unknown, result: unknown) => {
      // The errno of the other thread is to be had in this callback and not later.
      if (failure !== null && failure !== undefined) reject(new Error(`${name} could not be called`, { cause: failure }));
      else if (result === -1) resolve({ result: -1, error: new SystemCallError(name, koffi.errno()) });
      else resolve({ result: Number(result) });
    });
  });
}

function native(name: CallName): Native {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  library ??= koffi.load(null);
  const found = library.func(PROTOTYPES[name]);
  loaded.set(name, found);
  return found;
}

function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(koffi.os.errno)) {
    if (value === errno) return name;
  }
  return `errno ${errno}`;
}
