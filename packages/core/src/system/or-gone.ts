import { errnoName } from './errno-name.ts';

/** Does something with a file that may be gone by now. @returns undefined if it is; @throws other errors of the file system */
export async function orGone<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoName(error) ?? '')) return undefined;
    throw error;
  }
}
