import { StoreError, orAbort } from '@gantry/transport';
import type { StoreContext } from './context.ts';
import type { ReadableFile } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';
import { assertRoot } from './root.ts';

/** Opens an object, reached without symbolic links. @throws StoreError `not-found`; FileSystemError */
export async function openObject(context: StoreContext, key: string, signal: AbortSignal | undefined): Promise<ReadableFile> {
  try {
    await using root = await context.fileSystem.root(signal);
    return await root.read(key.split('/'), signal);
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'link', 'other-kind')) throw await noObject(context, key, signal);
    throw error;
  }
}

/** The error for an object that does not exist; or that the store's directory does not, or is not the store's. */
export async function noObject(context: StoreContext, key: string, signal: AbortSignal | undefined): Promise<StoreError> {
  await orAbort(assertRoot(context, signal), signal);
  return new StoreError('not-found', { message: `there is no object ${key} in the store ${context.shown}`, key });
}
