import { posix } from 'node:path';
import type { Directory, FileSystem, FileSystemCapabilities, RootInfo } from '@gantry/directory-store';
import { FileSystemError, isFileSystemError } from '@gantry/directory-store';
import type { StoreSpace } from '@gantry/transport';
import { orAbort } from '@gantry/transport';
import type { SftpClient } from '../sftp/sftp-client.ts';
import { explainFailure, orAbsent } from './errors.ts';
import { fileInfoOf } from './file-info.ts';
import type { Peer } from './peer.ts';
import { SftpDirectory } from './sftp-directory.ts';

const MiB = 1024 * 1024;

/** A directory of a peer, over SFTP. */
export class SftpFileSystem implements FileSystem {
  readonly #peer: Peer;

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  async capabilities(signal?: AbortSignal): Promise<FileSystemCapabilities> {
    const client = await this.#peer.client(signal);
    return {
      replace: client.has('posixRename'),
      // Many requests are in flight at a time, over several sessions.
      inOrder: false,
      syncFile: client.has('fsync'),
      syncEveryBytes: 64 * MiB,
      maxUnsyncedBytes: 256 * MiB,
    };
  }

  async root(signal?: AbortSignal): Promise<Directory> {
    await this.#peer.client(signal);
    return SftpDirectory.root(this.#peer, await this.#peer.rootPath(signal));
  }

  async statRoot(signal?: AbortSignal): Promise<RootInfo | undefined> {
    const [client, path] = [await this.#peer.client(signal), await this.#peer.rootPath(signal)];
    const [found, identity] = await orAbort(Promise.all([orAbsent(client.stat(path)), identityOf(client, path)]), signal);
    return found === undefined ? undefined : { ...fileInfoOf(found), identity };
  }

  async makeRoot(signal?: AbortSignal): Promise<void> {
    const path = await this.#peer.rootPath(signal);
    const client = await this.#peer.client(signal);
    const above = SftpDirectory.root(this.#peer, posix.dirname(path));
    const found = await orAbort(orAbsent(client.stat(above.path)), signal);
    if (found === undefined || fileInfoOf(found).kind !== 'directory') throw parentMissing(above.path);
    if (!(await above.make(posix.basename(path)))) return;
    try {
      await above.sync();
    } catch (error) {
      // If its name is not durable, it must not exist: the next time, it would be taken as durable.
      await above.removeDirectory(posix.basename(path)).catch(() => undefined);
      throw error;
    }
  }

  async space(signal?: AbortSignal): Promise<StoreSpace | undefined> {
    const client = await this.#peer.client(signal);
    if (!client.has('statvfs')) return undefined;
    const path = await this.#peer.rootPath(signal);
    const parent = posix.dirname(path);
    const spaceOf = async (place: string) => await orAbort(orAbsent(client.space(place)), signal);
    const space = (await spaceOf(path)) ?? (await spaceOf(parent));
    if (space === undefined) throw parentMissing(parent);
    return { freeBytes: space.availableBytes, readOnly: space.readOnly };
  }

  async explain(error: unknown): Promise<unknown> {
    if (!isFileSystemError(error)) return error;
    try {
      return await explainFailure(error, await this.#peer.client(), await this.#peer.rootPath());
    } catch {
      // The peer does not answer any more.
      return error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer.pool[Symbol.asyncDispose]();
  }
}

/** The id of the file system that a path is on; undefined if it has none, or the server does not report it. */
async function identityOf(client: SftpClient, path: string): Promise<string | undefined> {
  if (!client.has('statvfs')) return undefined;
  const { fileSystemId } = (await client.space(path).catch(() => undefined)) ?? {};
  return fileSystemId === undefined || fileSystemId === 0n ? undefined : String(fileSystemId);
}

function parentMissing(path: string): FileSystemError {
  return new FileSystemError('missing', {
    code: 'not-found',
    message: `its parent directory ${path} does not exist on the peer`,
    hint: `Check the path, or create the parent directory there first: mkdir -p ${path}`,
  });
}
