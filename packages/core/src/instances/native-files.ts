import type { NativeFile } from './inventory.ts';

/** Bytes, of all native files of an instance together. */
export const MAX_NATIVE_BYTES: number = 16 * 1024 * 1024;

/** The most native files that an instance may have. */
export const MAX_NATIVE_FILES = 100;

const NATIVE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** Whether a native file may be called that: a plain file name of at most 100 characters. */
export function isNativeName(name: string): boolean {
  return NATIVE_NAME.test(name);
}

/** What is wrong with a list of native files (or with what is recorded of them), if anything. */
export function nativeListProblem(files: readonly (Pick<NativeFile, 'name'> & { readonly size: number })[]): string | undefined {
  if (files.length > MAX_NATIVE_FILES) return `the native description has ${files.length} files; at most ${MAX_NATIVE_FILES} are allowed`;
  if (new Set(files.map(({ name }) => name)).size < files.length) return 'two files of the native description have the same name';
  const total = files.reduce((sum, { size }) => sum + size, 0);
  return total > MAX_NATIVE_BYTES ? `the native description has ${total} bytes; at most ${MAX_NATIVE_BYTES} are allowed` : undefined;
}
