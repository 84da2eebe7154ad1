import { posix } from 'node:path';
import { orAbort } from '@gantry/transport';
import type { LanePool } from '../sftp/lane-pool.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import { asFileSystemError } from './errors.ts';

/** The peer of a store: sessions to it, and where the store's directory is there. */
export class Peer {
  readonly pool: LanePool;
  readonly #directory: string;
  #root: string | undefined;

  /** @param directory absolute, or `~/…` for one below the account's home */
  constructor(pool: LanePool, directory: string) {
    this.pool = pool;
    this.#directory = directory;
  }

  /** A session for calls. @throws FileSystemError; the signal's reason */
  async client(signal?: AbortSignal): Promise<SftpClient> {
    try {
      return (await this.pool.lane(signal)).client;
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
      // Where a session begins is the account's home (or its forced directory): "." of the protocol.
      this.#root ??= posix.join(await orAbort(client.realPath('.'), signal), this.#directory.slice(1));
      return this.#root;
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw asFileSystemError(error);
    }
  }
}
