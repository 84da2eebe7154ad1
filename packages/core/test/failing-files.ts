import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';

type Call = 'sync' | 'datasync' | 'stat' | 'truncate';

/**
 * Makes calls on files of this process fail, as on a broken or full disk, until it is disposed.
 *
 * @param fails called before each call, which rejects with the error that it returns
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

/** An error of a system call as Node makes it. */
export function systemError(code: 'EIO' | 'ENOSPC' | 'EDQUOT' | 'EROFS'): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}
