import { availableParallelism } from 'node:os';
import process from 'node:process';
import { execa } from 'execa';

const ALL = availableParallelism();
const MIDDLE = Math.floor(ALL / 2);

/** Processors, in the syntax of taskset(1). */
const LISTS = { all: `0-${ALL - 1}`, near: `0-${MIDDLE - 1}`, far: `${MIDDLE}-${ALL - 1}` } as const;

/** Whether there are enough processors for two halves. */
export const HAS_HALVES: boolean = ALL >= 2;

/** Limits processes that start from now on to half of the processors, so that two sides can be measured like two machines. */
export async function keepTo(half: keyof typeof LISTS): Promise<void> {
  await execa('taskset', ['-cp', LISTS[half], String(process.pid)], { stdout: 'ignore' });
}
