import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';

import koffi from 'koffi';

import { GantryError } from '../report/errors.ts';
import { processFunction } from './process-library.ts';

/*
 * Real pipes, which Node does not create: what it calls a pipe to a child is a socket, and `echo … >/dev/stderr` or `tar -f /dev/stdin`
 * in a script fails on a socket. A pipe also holds more at once, and reports how much of it has not been read.
 */

// From the kernel's asm-generic/fcntl.h, linux/fcntl.h and asm-generic/ioctls.h: the same on x86, ARM, RISC-V and s390.
const O_CLOEXEC = 0o2_000_000;
const F_SETPIPE_SZ = 1031;
const F_DUPFD_CLOEXEC = 1030;
const FIONREAD = 0x541b;
/** linux/close_range.h: marks descriptors close-on-exec instead of closing them. */
const CLOSE_RANGE_CLOEXEC = 4;

/** The maximum for an unprivileged process (the default of `/proc/sys/fs/pipe-max-size`). */
export const PIPE_BYTES: number = 1024 * 1024;

export interface Pipe {
  /** File descriptors; a child inherits neither unless it is passed on. */
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

/** A duplicate of a descriptor. It belongs to the caller. */
export function duplicate(fd: number): number {
  const copy = loadLibc().fcntl(fd, F_DUPFD_CLOEXEC, 'int', 3);
  if (copy === -1) throw systemError('cannot duplicate a descriptor');
  return copy;
}

/**
 * Moves an open descriptor, such as standard input, to a new number, so that nothing else in this process reads from or writes to it: a
 * library that opens `process.stdin`, or one that prints. The returned descriptor belongs to the caller.
 *
 * @param substitute what the old number refers to from now on; it is duplicated
 */
export function takeOver(fd: number, substitute: number): number {
  const own = duplicate(fd);
  if (loadLibc().dup2(substitute, fd) !== -1) return own;
  closeSync(own);
  throw systemError('cannot replace a descriptor');
}

/** Bytes in a pipe that have not been read yet. */
export function unreadBytes(fd: number): number {
  const { ioctl } = loadLibc();
  const count = [0];
  if (ioctl(fd, FIONREAD, '_Out_ int *', count) !== 0) throw systemError('cannot find out how much of a pipe was read');
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
      message: 'cannot run scripts: the C library could not be loaded',
      hint: 'Running scripts needs Linux with the GNU C library.',
      cause: error,
    });
  }
}

let descriptorsKept = false;

/**
 * Keeps our children from inheriting descriptors that our caller left open, such as a lock. (Those that we open ourselves are
 * close-on-exec.) Only the first call does anything.
 */
export function keepDescriptors(): void {
  if (descriptorsKept) return;
  descriptorsKept = true;
  try {
    const closeRange = processFunction('int close_range(uint first, uint last, int flags)');
    closeRange(3, 0xffff_ffff, CLOSE_RANGE_CLOEXEC);
  } catch {
    // glibc before 2.34 lacks this function: children then inherit them, as those of most programs do.
  }
}

function open(pipe2: Pipe2): number[] {
  const fds = [-1, -1];
  if (pipe2(fds, O_CLOEXEC) !== 0) throw systemError('cannot open a pipe');
  return fds;
}

function systemError(failure: string): GantryError {
  return new GantryError('PLATFORM', {
    message: `${failure}: ${getSystemErrorName(-koffi.errno())}`,
    hint: 'There may be too many open files: see ulimit -n.',
  });
}
