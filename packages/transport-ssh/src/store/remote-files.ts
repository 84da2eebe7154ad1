import { Buffer } from 'node:buffer';
import { posix } from 'node:path';
import type { Attributes } from '../sftp/attributes.ts';
import { isDirectory } from '../sftp/attributes.ts';
import { OPEN, STATUS } from '../sftp/protocol.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import { hasStatus } from '../sftp/status-error.ts';

/** Data is nobody else's business. */
export const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** How often a directory may be removed by somebody else while it is made. Few: a full disk looks the same. */
const TRIES = 5;

/** What stands under a path, links not followed; undefined for nothing. */
export async function lookAt(client: SftpClient, path: string): Promise<Attributes | undefined> {
  return client.lstat(path).catch(missing);
}

/** For `catch`: what is not there is no error. */
export function missing(error: unknown): undefined {
  if (!hasStatus(error, STATUS.noSuchFile)) throw error;
}

/** Makes a directory with all missing ones above it, mode 0700. */
export async function makeDirectory(client: SftpClient, path: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.makeDirectory(path, DIRECTORY_MODE);
      return;
    } catch (error) {
      if (hasStatus(error, STATUS.noSuchFile) && path !== posix.dirname(path)) await makeDirectory(client, posix.dirname(path));
      else if (!hasStatus(error, STATUS.failure)) throw error;
      else {
        const found = await client.stat(path).catch(missing);
        if (found !== undefined && isDirectory(found)) return;
        if (found !== undefined) throw error;
      }
      // Nothing is there (any more): whoever removes the last file of a directory removes that too.
      if (tries === TRIES) throw error;
    }
  }
}

/**
 * Makes the names in a directory durable: OpenSSH opens a directory like a file, and syncs it. Gives false where the server can do
 * no such thing, and true, too, where the directory is gone again.
 */
export async function syncDirectory(client: SftpClient, path: string): Promise<boolean> {
  if (!client.has('fsync')) return false;
  try {
    const handle = await client.open(path, OPEN.read);
    try {
      await client.sync(handle);
    } finally {
      await client.close(handle);
    }
    return true;
  } catch (error) {
    if (hasStatus(error, STATUS.noSuchFile)) return true;
    if (hasStatus(error, STATUS.failure, STATUS.unsupported, STATUS.permissionDenied, STATUS.badMessage)) return false;
    throw error;
  }
}

/** Removes a file; what is not there is removed already. */
export async function removeFile(client: SftpClient, path: string): Promise<void> {
  await client.remove(path).catch(missing);
}

/** Removes the directories above a key that hold nothing any more, up to the root. One that somebody fills meanwhile stays. */
export async function removeEmptyParents(client: SftpClient, root: string, key: string): Promise<void> {
  for (let parent = posix.dirname(key); parent !== '.'; parent = posix.dirname(parent)) {
    try {
      await client.removeDirectory(posix.join(root, parent));
    } catch {
      return;
    }
  }
}

/** Whether the directory of a key is really where the key says, with no link on the way to it; false where it is not there. */
export async function isWithin(client: SftpClient, root: string, key: string): Promise<boolean> {
  const directory = posix.dirname(key);
  const [realRoot, realDirectory] = await Promise.all([
    client.realPath(root).catch(missing),
    client.realPath(posix.join(root, directory)).catch(missing),
  ]);
  return realRoot !== undefined && realDirectory === posix.join(realRoot, directory);
}

/** A whole small file. Undefined where it is not there; what is beyond `limit` bytes is left out. */
export async function readSmallFile(client: SftpClient, path: string, limit: number): Promise<Buffer | undefined> {
  const handle = await client.open(path, OPEN.read).catch(missing);
  if (handle === undefined) return undefined;
  try {
    const memory = Buffer.alloc(limit);
    let length = 0;
    for (;;) {
      const came = await client.read(handle, length, memory.subarray(length));
      length += came;
      if (came === 0 || length === limit) return memory.subarray(0, length);
    }
  } finally {
    await client.close(handle);
  }
}

/** Writes a small file that is new, or takes the place of an old one's content. */
export async function writeSmallFile(client: SftpClient, path: string, content: Buffer): Promise<void> {
  const handle = await client.open(path, OPEN.write | OPEN.create | OPEN.truncate, FILE_MODE);
  try {
    await writeAt(client, handle, 0, content);
    if (client.has('fsync')) await client.sync(handle);
  } finally {
    await client.close(handle);
  }
}

/** Writes some bytes of at most one packet. */
export async function writeAt(client: SftpClient, handle: Buffer, offset: number, content: Uint8Array): Promise<void> {
  const head = client.writeHeadBytes(handle);
  const packet = Buffer.allocUnsafe(head + content.length);
  packet.set(content, head);
  await client.write(handle, offset, packet);
}
