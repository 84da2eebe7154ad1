import type { ObjectInfo } from '@gantry/transport';
import { StoreError, closeOnFailure } from '@gantry/transport';
import type { StoreContext } from '../context.ts';
import type { Directory, ReadableFile } from '../file-system.ts';
import { isFileSystemError } from '../file-system.ts';
import { boundedEntries } from '../limits.ts';
import { orMissing } from '../paths.ts';
import type { StableRoot } from '../root.ts';
import { durableBytesOf } from './list.ts';
import { openWriteDirectory } from './write-directory.ts';
import type { WriteRecord } from './record.ts';
import { isWritersFile, namesOf, ownRecord, readRecord, replaceRecord, unknownToken } from './record.ts';
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
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await openWrite(context, token));
  const before = await readRecord(directory, token);
  const bytes = await durableBytesOf(directory, before);
  await using left = await openLeft(directory, before, signal);
  const { inOrder, replace } = await context.fileSystem.capabilities(signal);
  const { document, ...record } = await ownRecord(before, { withMark: !inOrder });
  const write = await UnfinishedWrite.create(context, root, { token, record, directory }, { signal });
  const abandon = (): Promise<void> => write.abandon(() => isRecorded(directory, token, record));
  await closeOnFailure(abandon, async () => {
    await write.copyFrom(left, bytes ?? 0, signal);
    await replaceRecord(directory, document, { atOnce: replace });
    // Files that remain are removed with the directory.
    await removeFiles(directory, before);
  });
  scope.move();
  return write;
}

/**
 * Makes the durable bytes of a write the object, in a copy that the file system makes: over SFTP, requests of a writer that has ended may
 * still be on their way. See `StoreWriter.salvage`.
 *
 * @throws StoreError `not-found`, `integrity`, `exists`
 */
export async function salvage(
  context: StoreContext,
  root: StableRoot,
  token: string,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo | undefined> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await openWrite(context, token));
  const before = await readRecord(directory, token);
  const bytes = (await durableBytesOf(directory, before)) ?? 0;
  if (bytes === 0) return undefined;
  await using left = await openLeft(directory, before, signal);
  await removeOthers(directory, before);
  // A copy that fills the store would fail what else is written there. Where the file system shares blocks, it may be left out for nothing.
  const space = await context.fileSystem.space?.(signal);
  if (space !== undefined && space.freeBytes < bytes) return undefined;
  const { inOrder } = await context.fileSystem.capabilities(signal);
  // Its record stays that of the first writer until the object is there: so it can be salvaged again if this process is killed.
  const record = await ownRecord({ ...before, ifExists: 'fail' }, { withMark: !inOrder });
  const write = await UnfinishedWrite.create(context, root, { token, record, directory }, { digestBy: 'reader', signal, isBeside: true });
  scope.move();
  const isCopied = await closeOnFailure(
    () => write.discard(),
    () => write.copyWithin(left, bytes, signal),
  );
  if (isCopied) return await write.commit({ size: bytes }, { signal });
  await write.discard();
  return undefined;
}

/** Removes what salvaging left that was killed, or whose commit failed: else each of them would take the space of another copy. */
async function removeOthers(directory: Directory, { data, mark }: WriteRecord): Promise<void> {
  const others: string[] = [];
  for await (const { name } of boundedEntries(directory)) if (isWritersFile(name) && name !== data && name !== mark) others.push(name);
  await Promise.all(others.map((name) => orMissing(directory.remove(name))));
}

/** @throws StoreError `not-found` */
async function openWrite(context: StoreContext, token: string): Promise<Directory> {
  const directory = isWriteToken(token) ? await orMissing(openWriteDirectory(context, token)) : undefined;
  if (directory === undefined) throw unknownToken(token);
  return directory;
}

/** Whether the write has this record now; also if that cannot be found out, because then its data must stay. */
async function isRecorded(directory: Directory, token: string, { data }: WriteRecord): Promise<boolean> {
  const found = await readRecord(directory, token).catch(() => undefined);
  return found === undefined || found.data === data;
}

async function removeFiles(directory: Directory, record: WriteRecord): Promise<void> {
  await Promise.allSettled(namesOf(record).map((name) => directory.remove(name)));
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
