import { DirectoryStore } from '@gantry/directory-store';
import type { SshAddress } from './address.ts';
import type { SshEngine } from './engine/channel.ts';
import { SessionPool } from './sftp/session-pool.ts';
import { Peer } from './store/peer.ts';
import { SftpFileSystem } from './store/sftp-file-system.ts';

/** A store in a directory of a peer, over SFTP only: no command is run there. A local directory store on the peer can use it too. */
export class SshStore extends DirectoryStore {
  readonly #engine: SshEngine;

  constructor(engine: SshEngine, address: SshAddress, warn: (message: string) => void) {
    const pool = new SessionPool(engine, { stallMs: address.stallTimeoutMs, maxSessions: address.connections });
    super(new SftpFileSystem(new Peer(pool, address.directory)), { address: address.href, shown: address.shown, warn });
    this.#engine = engine;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#engine[Symbol.asyncDispose]();
  }
}
