import { StoreError, closeOnFailure } from '@gantry/transport';
import type { StoreContext } from '../context.ts';
import type { Directory, ReadableFile } from '../file-system.ts';
import { isFileSystemError } from '../file-system.ts';
import { orMissing } from '../paths.ts';
import type { StableRoot } from '../root.ts';
import { durableBytesOf } from './list.ts';
import { openWriteDirectory } from './write-directory.ts';
import type { WriteRecord } from './record.ts';
import { ownRecord, readRecord, replaceRecord, unknownToken } from './record.ts';
import { isWriteToken } from './token.ts';
import { UnfinishedWrite } from './unfinished-write.ts';

/**
 * Continues another writer's write, in a copy of its data: a writer that seems dead may only be slow, and can then still write to its own
 * file, which is no longer used. (The copy is not made by the file system, because the digest needs the bytes anyway.)
 *
 * @throws StoreError `not-found`, `integrity`
 */
export async function takeOver(
  context: StoreContext,
  root: StableRoot,
  token: string,
  signal: AbortSignal | undefined,
): Promise<UnfinishedWrite> {
  const directory = isWriteToken(token) ? await orMissing(openWriteDirectory(context, token)) : undefined;
  if (directory === undefined) throw unknownToken(token);
  await using scope = new AsyncDisposableStack();
  scope.use(directory);
  const before = await readRecord(directory, token);
  const bytes = await durableBytesOf(directory, before);
  await using left = await openLeft(directory, before, signal);
  const { inOrder, replace } = await context.fileSystem.capabilities(signal);
  const { document, ...record } = await ownRecord(before, { withMark: !inOrder });
  const write = await UnfinishedWrite.create(context, root, { token, record, directory }, { signal });
  const abandon = async (): Promise<void> => {
    await write.abandon();
    await removeFiles(directory, record);
  };
  await closeOnFailure(abandon, async () => {
    await write.copyFrom(left, bytes ?? 0, signal);
    await replaceRecord(directory, document, { atOnce: replace });
    // Files that remain are removed with the directory.
    await removeFiles(directory, before);
  });
  scope.move();
  return write;
}

async function removeFiles(directory: Directory, { data, mark }: WriteRecord): Promise<void> {
  const names = mark === undefined ? [data] : [data, mark];
  await Promise.allSettled(names.map((name) => directory.remove(name)));
}

async function openLeft(directory: Directory, { key, data }: WriteRecord, signal: AbortSignal | undefined): Promise<ReadableFile> {
  let left: ReadableFile;
  try {
    left = await directory.read([data], signal);
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'link', 'other-kind')) throw endedAlready(key);
    throw error;
  }
  // Two names: its writer was killed after linking the object and before removing the rest.
  if ((left.found.links ?? 1) === 1) return left;
  await left[Symbol.asyncDispose]();
  throw endedAlready(key);
}

function endedAlready(key: string): StoreError {
  return new StoreError('not-found', {
    key,
    message: `cannot resume the write of ${key}: it was committed, or taken over by another process`,
    hint: 'Clear it; a committed object stays.',
  });
}
