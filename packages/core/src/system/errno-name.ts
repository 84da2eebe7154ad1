import { constants } from 'node:os';

/** Names of all errors of the kernel, including those that libuv does not name (`EDQUOT`, `ESTALE`). */
const NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(constants.errno).map(([name, number]): [number, string] => [number, name]),
  // Node lacks these (asm-generic/errno.h): no medium, and what DRBD answers on a secondary.
  [123, 'ENOMEDIUM'],
  [124, 'EMEDIUMTYPE'],
]);

/** The name of a (positive) errno, such as `EDQUOT`. */
export function nameOfErrno(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** The name of a failed system call's errno, such as `EDQUOT`; undefined for any other error. */
export function errnoName(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  if (!error.code.startsWith('Unknown system error') || !('errno' in error) || typeof error.errno !== 'number') return error.code;
  return nameOfErrno(-error.errno);
}

/** The same for an error that must come from a system call. @throws any other error, unchanged */
export function systemErrorCode(error: unknown): string {
  const name = errnoName(error);
  if (name === undefined) throw error;
  return name;
}
