import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';

type Call = 'sync' | 'datasync' | 'stat';

/**
 * Lets calls on files of this process fail, as a disk that is broken or full does, until it is disposed.
 *
 * @param fails asked before each call; what it gives, the call rejects with
 */
export async function failFiles(call: Call, fails: (file: FileHandle) => Promise<Error | undefined>): Promise<Disposable> {
  await using anyFile = await open('/dev/null');
  const prototype: Record<Call, (this: FileHandle, ...parameters: unknown[]) => Promise<unknown>> = Object.getPrototypeOf(anyFile);
  const real = prototype[call];
  prototype[call] = async function failing(...parameters) {
    const error = await fails(this);
    if (error !== undefined) throw error;
    return await real.apply(this, parameters);
  };
  return {
    [Symbol.dispose]() {
      prototype[call] = real;
    },
  };
}

/** An error as Node gives it for a system call. */
export function systemError(code: 'EIO' | 'ENOSPC' | 'EDQUOT' | 'EROFS'): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
