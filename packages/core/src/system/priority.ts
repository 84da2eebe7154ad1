import { readdirSync } from 'node:fs';
import { arch, getPriority, setPriority } from 'node:os';
import { GantryError } from '../report/errors.ts';
import { callLibc } from './libc.ts';
import { errorText } from '../report/error-text.ts';

/** How much of the processors and disks this process leaves to others. */
export interface Priority {
  /** As nice(1): 0 to 19. */
  readonly nice?: number | undefined;
  /** As ionice(1); of `best-effort` its lowest level. It counts where the disk has a scheduler that looks at it, such as bfq. */
  readonly io?: 'best-effort' | 'idle' | undefined;
}

/** ioprio_set(2): the C library has no function for it, and its number depends on the machine. */
const IOPRIO_SET: Readonly<Record<string, number>> = { x64: 251, arm64: 30 };
const IOPRIO_WHO_PROCESS = 1;
const CLASS_SHIFT = 13;
const IO_PRIORITIES = { 'best-effort': (2 << CLASS_SHIFT) | 7, idle: 3 << CLASS_SHIFT };

/**
 * Lowers the priority of this process: of all its threads, since on Linux each has its own, and compression runs on others than the first.
 * Threads and programs that are started later have it, too. It never rises again.
 *
 * @throws GantryError `PLATFORM`
 */
export function lowerPriority({ nice, io }: Priority): void {
  for (const thread of threads()) {
    try {
      if (nice !== undefined && getPriority(thread) < nice) setPriority(thread, nice);
      if (io !== undefined) setIoPriority(thread, io);
    } catch (error) {
      // It has ended meanwhile.
      if (!threads().includes(thread)) continue;
      throw failure(error);
    }
  }
}

function threads(): readonly number[] {
  try {
    return readdirSync('/proc/self/task').map(Number);
  } catch (error) {
    throw failure(error);
  }
}

function setIoPriority(thread: number, io: 'best-effort' | 'idle'): void {
  const number = IOPRIO_SET[arch()];
  if (number === undefined) throw new Error(`not known how to set the I/O class on ${arch()}`);
  callLibc('ioprio_set', number, IOPRIO_WHO_PROCESS, thread, IO_PRIORITIES[io]);
}

function failure(cause: unknown): GantryError {
  return new GantryError('PLATFORM', {
    message: `cannot lower the priority of this process: ${errorText(cause)}`,
    hint: 'Leave nice and io out of the policy, or start Gantry with nice and ionice.',
    cause,
  });
}
