import { availableParallelism } from 'node:os';
import process from 'node:process';
import { execa } from 'execa';

const ALL = availableParallelism();
const MIDDLE = Math.floor(ALL / 2);

/** Processors, as taskset(1) wants them. */
const LISTS = { all: `0-${ALL - 1}`, near: `0-${MIDDLE - 1}`, far: `${MIDDLE}-${ALL - 1}` } as const;

/** Whether there are processors for two machines. */
export const HAS_HALVES: boolean = ALL >= 2;

/** Keeps whatever is started from now on to a half of the processors, so that two sides can be measured as if they were two machines. */
export async function keepTo(half: keyof typeof LISTS): Promise<void> {
  await execa('taskset', ['-cp', LISTS[half], String(process.pid)], { stdout: 'ignore' });
}
