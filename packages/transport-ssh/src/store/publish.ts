import { posix } from 'node:path';
import { StoreError } from '@gantry/transport';
import { isDirectory } from '../sftp/attributes.ts';
import { STATUS } from '../sftp/protocol.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import { hasStatus } from '../sftp/status-error.ts';
import { isWithin, lookAt, makeDirectory, removeEmptyParents, removeFile, syncDirectory } from './remote-files.ts';

/** How often a directory may be removed by somebody else, between being made and being used, before that is an error. */
const TRIES = 100;

/** What is to become visible. */
export interface Publication {
  readonly root: string;
  readonly key: string;
  /** The finished file. */
  readonly data: string;
  readonly ifExists: 'fail' | 'replace';
}

/**
 * Gives a finished file its name, durably. A hard link, and a rename of the plain protocol, fail where the name is taken; a rename
 * as rename(2) takes the old one's place; all happen at once for everybody who looks. What fails leaves nothing under the name.
 *
 * @returns whether the name is durable: false where the server cannot sync directories
 */
export async function publish(client: SftpClient, publication: Publication): Promise<boolean> {
  const { root, key } = publication;
  await giveName(client, publication);
  try {
    return await syncNames(client, root, key);
  } catch (error) {
    await removeFile(client, posix.join(root, key)).catch(() => undefined);
    await removeEmptyParents(client, root, key);
    throw error;
  }
}

async function giveName(client: SftpClient, publication: Publication): Promise<void> {
  const { root, key, data } = publication;
  const path = posix.join(root, key);
  for (let tries = 1; ; tries += 1) {
    try {
      await makeDirectory(client, posix.dirname(path));
      if (!(await isWithin(client, root, key)) && (await lookAt(client, posix.dirname(path))) !== undefined) throw linkOnTheWay(root, key);
      return await rename(client, publication, path);
    } catch (error) {
      // Who removes the last object of a directory removes that too, and may do so just before it gets a new one.
      const vanished = hasStatus(error, STATUS.noSuchFile) && (await lookAt(client, data)) !== undefined;
      if (vanished && tries < TRIES && !(await isBlocked(client, root, key))) continue;
      await removeEmptyParents(client, root, key);
      throw await meaning(client, error, publication);
    }
  }
}

async function rename(client: SftpClient, { data, ifExists }: Publication, path: string): Promise<void> {
  if (ifExists === 'replace') return client.posixRename(data, path);
  return client.has('hardlink') ? client.hardLink(data, path) : client.rename(data, path);
}

/** Every directory down to the object may be new; another writer may have made it and not yet have made its name durable. */
async function syncNames(client: SftpClient, root: string, key: string): Promise<boolean> {
  const directories: string[] = [];
  for (let directory = posix.dirname(key); ; directory = posix.dirname(directory)) {
    directories.push(posix.join(root, directory));
    if (directory === '.') break;
  }
  const synced = await Promise.all(directories.map((directory) => syncDirectory(client, directory)));
  return !synced.includes(false);
}

/** The server's refusal says little: what stands there says more. */
async function meaning(client: SftpClient, error: unknown, { root, key, data }: Publication): Promise<unknown> {
  if (!hasStatus(error, STATUS.noSuchFile, STATUS.failure)) return error;
  if (await isBlocked(client, root, key)) return inTheWay(root, key, error);
  if ((await lookAt(client, data)) === undefined)
    return new StoreError('not-found', { message: `the unfinished write of ${key} was cleared meanwhile`, key, cause: error });
  const found = await lookAt(client, posix.join(root, key));
  if (found === undefined) return error;
  return isDirectory(found) ? inTheWay(root, key, error) : alreadyThere(key, error);
}

/** Whether a part of the key before its last is there, and is no directory. */
async function isBlocked(client: SftpClient, root: string, key: string): Promise<boolean> {
  for (let parent = posix.dirname(key); parent !== '.'; parent = posix.dirname(parent)) {
    const found = await lookAt(client, posix.join(root, parent));
    if (found !== undefined) return !isDirectory(found);
  }
  return false;
}

/** Says early what commit would say late. @throws StoreError `exists`, `denied` */
export async function assertFree(client: SftpClient, root: string, key: string, ifExists: 'fail' | 'replace'): Promise<void> {
  const [found, within, blocked] = await Promise.all([
    lookAt(client, posix.join(root, key)),
    isWithin(client, root, key),
    isBlocked(client, root, key),
  ]);
  if (blocked) throw inTheWay(root, key);
  if (found === undefined) return;
  if (!within) throw linkOnTheWay(root, key);
  if (isDirectory(found)) throw inTheWay(root, key);
  if (ifExists === 'fail') throw alreadyThere(key);
}

function alreadyThere(key: string, cause?: unknown): StoreError {
  return new StoreError('exists', { message: `${key} is there already`, key, cause });
}

function linkOnTheWay(root: string, key: string): StoreError {
  return new StoreError('denied', {
    key,
    message: `${key} leads out of the store ${root} on the peer through a symbolic link`,
    hint: 'Remove the link; a store follows none.',
  });
}

function inTheWay(root: string, key: string, cause?: unknown): StoreError {
  return new StoreError('exists', {
    key,
    message: `${key} cannot be made in ${root} on the peer: it is a directory, or a part of it is a file`,
    hint: 'Choose another name, or remove what is there.',
    cause,
  });
}
