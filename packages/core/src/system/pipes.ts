import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';

import koffi from 'koffi';

import { GantryError } from '../report/errors.ts';
import { processFunction } from './process-library.ts';

/*
 * Real pipes, which Node does not make: what it calls a pipe to a child is a socket, and `echo … >/dev/stderr` or `tar -f /dev/stdin`
 * in a script fails on a socket. A pipe also holds more at once and says how much of it has not been read.
 */

// From the kernel's asm-generic/fcntl.h, linux/fcntl.h and asm-generic/ioctls.h: alike on x86, ARM, RISC-V and s390.
const O_CLOEXEC = 0o2_000_000;
const F_SETPIPE_SZ = 1031;
const F_DUPFD_CLOEXEC = 1030;
const FIONREAD = 0x541b;
/** linux/close_range.h: marks, rather than closes. */
const CLOSE_RANGE_CLOEXEC = 4;

/** The most that an unprivileged process may ask for (`/proc/sys/fs/pipe-max-size` as shipped). */
export const PIPE_BYTES: number = 1024 * 1024;

export interface Pipe {
  /** File descriptors; neither is inherited by a child unless it is passed on. */
  readonly readEnd: number;
  readonly writeEnd: number;
}

/**
 * Opens a pipe. Each end belongs to the caller.
 * @param bytes how much it should hold; the system's default where it cannot
 * @throws GantryError `PLATFORM`
 */
export function openPipe(bytes?: number): Pipe {
  const { pipe2, fcntl } = loadLibc();
  const [readEnd = -1, writeEnd = -1] = open(pipe2);
  // A smaller pipe is slower, nothing else.
  if (bytes !== undefined) fcntl(writeEnd, F_SETPIPE_SZ, 'int', bytes);
  return { readEnd, writeEnd };
}

/** A second descriptor for the same end of a pipe. It belongs to the caller. */
export function duplicate(fd: number): number {
  const copy = loadLibc().fcntl(fd, F_DUPFD_CLOEXEC, 'int', 3);
  if (copy === -1) throw systemError('duplicating a descriptor');
  return copy;
}

/**
 * Moves an open descriptor, such as standard input, to a number of its own, so that nobody else in this process takes or spoils a byte:
 * a library that opens `process.stdin`, or one that prints. The descriptor that is returned belongs to the caller.
 *
 * @param substitute what the old number stands for from now on; duplicated
 */
export function takeOver(fd: number, substitute: number): number {
  const own = duplicate(fd);
  if (loadLibc().dup2(substitute, fd) !== -1) return own;
  closeSync(own);
  throw systemError('replacing a descriptor');
}

/** Bytes that were written to a pipe and that nobody has read yet. */
export function unreadBytes(fd: number): number {
  const { ioctl } = loadLibc();
  const count = [0];
  if (ioctl(fd, FIONREAD, '_Out_ int *', count) !== 0) throw systemError('asking how much of a pipe was read');
  return count[0] ?? 0;
}

export function closeEnds(...fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd);
}

type Pipe2 = (fds: number[], flags: number) => number;

interface Libc {
  readonly pipe2: Pipe2;
  readonly dup2: (from: number, to: number) => number;
  readonly fcntl: (fd: number, command: number, type: 'int', value: number) => number;
  readonly ioctl: (fd: number, request: number, type: '_Out_ int *', value: number[]) => number;
}

let libc: Libc | undefined;

function loadLibc(): Libc {
  libc ??= bindLibc();
  return libc;
}

function bindLibc(): Libc {
  try {
    keepDescriptors();
    return {
      pipe2: processFunction('int pipe2(_Out_ int *fds, int flags)'),
      dup2: processFunction('int dup2(int from, int to)'),
      fcntl: processFunction('int fcntl(int fd, int command, ...)'),
      ioctl: processFunction('int ioctl(int fd, unsigned long request, ...)'),
    };
  } catch (error) {
    throw new GantryError('PLATFORM', {
      message: 'scripts cannot be run here: the C library could not be used',
      hint: 'Scripts are run on Linux with the GNU C library.',
      cause: error,
    });
  }
}

let descriptorsKept = false;

/**
 * Keeps what our caller left open, such as a lock, from all that we start. What we open ourselves is kept from them already. Does so
 * once.
 */
export function keepDescriptors(): void {
  if (descriptorsKept) return;
  descriptorsKept = true;
  try {
    const closeRange = processFunction('int close_range(uint first, uint last, int flags)');
    closeRange(3, 0xffff_ffff, CLOSE_RANGE_CLOEXEC);
  } catch {
    // Before glibc 2.34 there is no such function: scripts then get them too, as the children of most programs do.
  }
}

function open(pipe2: Pipe2): number[] {
  const fds = [-1, -1];
  if (pipe2(fds, O_CLOEXEC) !== 0) throw systemError('opening a pipe');
  return fds;
}

function systemError(doing: string): GantryError {
  return new GantryError('PLATFORM', {
    message: `${doing} failed (${getSystemErrorName(-koffi.errno())})`,
    hint: 'Too many open files? See ulimit -n.',
  });
}
