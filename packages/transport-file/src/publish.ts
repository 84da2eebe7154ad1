import { link, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StoreError } from '@gantry/transport';
import { makeDirectory, syncDirectory } from './durable.ts';
import { removeEmptyParents } from './empty-parents.ts';
import { systemErrorCode } from './system-error.ts';
import { isWithin } from './within.ts';

/** How often a directory may be removed by somebody else, between being made and being used, before that is an error. */
const TRIES = 100;

/**
 * Gives a finished file its name, durably. A link fails where the name is taken (link(2): EEXIST), a rename takes the old one's
 * place; both happen at once for everybody who looks. What fails leaves nothing under the name.
 */
export async function publish(root: string, key: string, data: string, ifExists: 'fail' | 'replace'): Promise<void> {
  const path = join(root, key);
  await name(root, key, data, ifExists);
  try {
    await syncNames(root, key);
  } catch (error) {
    await unlink(path).catch(() => undefined);
    await removeEmptyParents(root, key);
    throw error;
  }
}

async function name(root: string, key: string, data: string, ifExists: 'fail' | 'replace'): Promise<void> {
  const path = join(root, key);
  for (let tries = 1; ; tries += 1) {
    try {
      if (dirname(key) !== '.') await makeDirectory(root, dirname(key));
      if (!(await isWithin(root, key))) throw linkOnTheWay(root, key);
      return await (ifExists === 'fail' ? link(data, path) : rename(data, path));
    } catch (error) {
      // Who removes the last object of a directory removes that too, and may do so just before it gets a new one.
      const vanished = systemErrorCode(error) === 'ENOENT' && (await isThere(data));
      if (vanished && tries < TRIES) continue;
      await removeEmptyParents(root, key);
      throw meaning(error, root, key);
    }
  }
}

/** Every directory down to the object may be new; another writer may have made it and not yet have made its name durable. */
async function syncNames(root: string, key: string): Promise<void> {
  for (let directory = dirname(key); ; directory = dirname(directory)) {
    await syncDirectory(join(root, directory)).catch((error: unknown) => {
      // Gone again: somebody removed the object, which had been there.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    });
    if (directory === '.') return;
  }
}

export async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

export function linkOnTheWay(root: string, key: string): StoreError {
  return new StoreError('denied', {
    key,
    message: `${key} leads out of the store ${root} through a symbolic link`,
    hint: 'Remove the link; a store follows none.',
  });
}

export function inTheWay(root: string, key: string, cause?: unknown): StoreError {
  return new StoreError('exists', {
    key,
    message: `${key} cannot be made in ${root}: it is a directory, or a part of it is a file`,
    hint: 'Choose another name, or remove what is there.',
    cause,
  });
}

function meaning(error: unknown, root: string, key: string): unknown {
  switch (systemErrorCode(error)) {
    case 'ENOTDIR':
    case 'EISDIR':
      return inTheWay(root, key, error);
    case 'EEXIST':
      return new StoreError('exists', { message: `${key} is there already`, key, cause: error });
    case 'ENOENT':
      return new StoreError('not-found', {
        message: `the unfinished write of ${key} was cleared, or taken over by another process`,
        key,
        cause: error,
      });
    case 'EPERM':
    case 'EOPNOTSUPP':
      return new StoreError('unsupported', {
        key,
        message: `the file system of ${root} has no hard links, with which a store creates without replacing`,
        hint: 'Keep the store on a file system of Linux, such as ext4, xfs, btrfs or NFS.',
        cause: error,
      });
    case undefined:
    default:
      return error;
  }
}
