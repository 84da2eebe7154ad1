import { constants } from 'node:os';

/** The errors of the kernel that libuv has no names for (`EDQUOT`, `ESTALE`), by their numbers. */
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(constants.errno).map(([name, number]) => [-number, name]));

/** The name of a failed system call's errno, such as `EDQUOT`; undefined for any other error. */
export function errnoName(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  if (!error.code.startsWith('Unknown system error') || !('errno' in error) || typeof error.errno !== 'number') return error.code;
  return NAMES.get(error.errno) ?? error.code;
}
