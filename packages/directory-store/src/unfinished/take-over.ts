import { StoreError } from '@gantry/transport';
import type { StoreContext } from '../context.ts';
import type { Directory, ReadableFile } from '../file-system.ts';
import { isFileSystemError } from '../file-system.ts';
import { orMissing } from '../paths.ts';
import type { SteadyRoot } from '../root.ts';
import { durableBytesOf } from './list.ts';
import { openPlace } from './places.ts';
import type { WriteRecord } from './record.ts';
import { ownRecord, readRecord, replaceRecord, unknownToken } from './record.ts';
import { isWriteToken } from './token.ts';
import { UnfinishedWrite } from './unfinished-write.ts';

/**
 * Goes on where another writer stopped. With a copy, since who looks dead may only be slow: it keeps a file that nobody will look at
 * again, whatever it still writes. (No copy within the file system: the bytes must be read anyway, for the digest of the whole.)
 *
 * @throws StoreError `not-found`, `integrity`
 */
export async function takeOver(
  context: StoreContext,
  root: SteadyRoot,
  token: string,
  signal: AbortSignal | undefined,
): Promise<UnfinishedWrite> {
  const directory = isWriteToken(token) ? await orMissing(openPlace(context, token)) : undefined;
  if (directory === undefined) throw unknownToken(token);
  await using scope = new AsyncDisposableStack();
  scope.use(directory);
  const before = await readRecord(directory, token);
  const bytes = await durableBytesOf(directory, before);
  await using left = await openLeft(directory, before, signal);
  const { inOrder, replace } = await context.fileSystem.capabilities(signal);
  const { document, ...record } = await ownRecord(before, { withMark: !inOrder });
  const write = await UnfinishedWrite.create(context, root, { token, record, directory }, signal);
  try {
    await write.copyFrom(left, bytes ?? 0, signal);
    await replaceRecord(directory, document, { atOnce: replace });
    // What stays is removed with the place.
    await removeFiles(directory, before);
    scope.move();
    return write;
  } catch (error) {
    await write.abandon();
    await removeFiles(directory, record);
    throw error;
  }
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
  // Two names: its writer was killed just after it had linked the object, before it removed the rest.
  if ((left.found.links ?? 1) === 1) return left;
  await left[Symbol.asyncDispose]();
  throw endedAlready(key);
}

function endedAlready(key: string): StoreError {
  return new StoreError('not-found', {
    key,
    message: `the write of ${key} was committed or taken over already`,
    hint: 'Clear it; an object that was committed stays.',
  });
}
