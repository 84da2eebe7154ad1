import koffi from 'koffi';
import { constants } from 'node:os';

/** Stack of a call on another thread, bytes. All who use koffi in one process must want the same: see {@link loadLibrary}. */
const THREAD_STACK_BYTES = 1024 * 1024;

/** Errors of copy_file_range(2) that say: not between these files, not on this file system, not with this kernel. */
const CANNOT_COPY: ReadonlySet<number> = new Set([
  constants.errno.ENOSYS,
  constants.errno.EOPNOTSUPP,
  constants.errno.EXDEV,
  constants.errno.EINVAL,
  constants.errno.EBADF,
  constants.errno.EPERM,
]);

export interface CopyFileRange {
  /** Descriptor of the file to read. */
  readonly from: number;
  readonly offset: number;
  /** Descriptor of the file to write, at its position, which moves on. */
  readonly to: number;
  readonly bytes: number;
}

type CopyFunction = ReturnType<ReturnType<typeof koffi.load>['func']>;

let found: { readonly call: CopyFunction | undefined } | undefined;

/**
 * Has the kernel copy a part of a file, on another thread. Where the file system has reflinks and the places fit its blocks, the kernel
 * shares the blocks instead.
 *
 * @returns how many bytes were copied, 0 at the end of the file; undefined if the kernel or the file system cannot do that
 * @throws the system's error, as Node would
 */
export async function copyFileRange({ from, offset, to, bytes }: CopyFileRange): Promise<number | undefined> {
  found ??= { call: findCall() };
  const { call } = found;
  if (call === undefined) return undefined;
  const { copied, errno } = await onThread(call, [from, BigInt64Array.of(BigInt(offset)), to, null, bytes, 0]);
  if (copied >= 0) return copied;
  if (errno === constants.errno.EINTR) return await copyFileRange({ from, offset, to, bytes });
  if (CANNOT_COPY.has(errno)) return undefined;
  throw systemError(errno);
}

interface Copied {
  /** Bytes; -1 for a failure. */
  readonly copied: number;
  readonly errno: number;
}

/** Parameters of calls on other threads: they must not be garbage-collected. */
const underWay = new Set<readonly unknown[]>();

function onThread(call: CopyFunction, parameters: readonly unknown[]): Promise<Copied> {
  const { promise, resolve, reject } = Promise.withResolvers<Copied>();
  underWay.add(parameters);
  call.async(...parameters, (failure: unknown, returned: unknown) => {
    // At once: the next call overwrites errno.
    const errno = koffi.errno();
    underWay.delete(parameters);
    if (failure === null || failure === undefined) resolve({ copied: Number(returned), errno });
    else reject(new Error('cannot call copy_file_range', { cause: failure }));
  });
  return promise;
}

function findCall(): CopyFunction | undefined {
  try {
    return loadLibrary().func('int64_t copy_file_range(int from, void *offset, int to, void *toOffset, size_t bytes, uint flags)');
  } catch {
    // A C library without it (glibc before 2.27).
    return undefined;
  }
}

/** koffi takes its configuration only before the first library is loaded: core, which may be first, sets the same. */
function loadLibrary(): ReturnType<typeof koffi.load> {
  try {
    koffi.config({ async_stack_size: THREAD_STACK_BYTES });
  } catch {
    // It is set.
  }
  return koffi.load(null);
}

function systemError(errno: number): Error {
  const code = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`;
  return Object.assign(new Error(`${code}: copy_file_range failed`), { code, errno: -errno, syscall: 'copy_file_range' });
}
