import { posix } from 'node:path';
import { orAbort } from '@gantry/transport';
import type { SessionPool } from '../sftp/session-pool.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import { asFileSystemError } from './errors.ts';

/** The peer of a store: its sessions, and the path of the store's directory there. */
export class Peer {
  readonly pool: SessionPool;
  readonly #directory: string;
  #root: string | undefined;

  /** @param directory absolute, or `~/…` for one below the account's home */
  constructor(pool: SessionPool, directory: string) {
    this.pool = pool;
    this.#directory = directory;
  }

  /** A session for calls. @throws FileSystemError; the signal's reason */
  async client(signal?: AbortSignal): Promise<SftpClient> {
    try {
      return (await this.pool.session(signal)).client;
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw asFileSystemError(error);
    }
  }

  /** The absolute path of the store's directory. @throws FileSystemError; the signal's reason */
  async rootPath(signal?: AbortSignal): Promise<string> {
    if (!this.#directory.startsWith('~')) return this.#directory;
    const client = await this.client(signal);
    try {
      // A session starts in the account's home (or its forced directory): "." in the protocol.
      this.#root ??= posix.join(await orAbort(client.realPath('.'), signal), this.#directory.slice(1));
      return this.#root;
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw asFileSystemError(error);
    }
  }
}
