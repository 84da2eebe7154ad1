import { orAbort } from '@gantry/transport';
import { posix } from 'node:path';
import type { LanePool } from '../sftp/lane-pool.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import type { Doing } from './errors.ts';
import { asStoreError, explainFailure } from './errors.ts';

/** A session to the peer, and the store's directory there. */
export interface PeerPlace {
  readonly client: SftpClient;
  /** Absolute. */
  readonly root: string;
}

/** The directory of a store on its peer, and how the store's calls reach it. */
export class PeerDirectory {
  readonly pool: LanePool;
  readonly address: string;
  readonly #directory: string;
  readonly #warn: (message: string) => void;
  readonly #warned = new Set<string>();
  #root: string | undefined;

  constructor(pool: LanePool, options: { readonly address: string; readonly directory: string; readonly warn: (message: string) => void }) {
    this.pool = pool;
    this.address = options.address;
    this.#directory = options.directory;
    this.#warn = options.warn;
  }

  /** @throws PeerError; the signal's reason */
  async reach(signal?: AbortSignal): Promise<PeerPlace> {
    const { client } = await this.pool.lane(signal);
    this.#root ??= await orAbort(this.#resolve(client), signal);
    return { client, root: this.#root };
  }

  /** Runs a call, and says of its errors what was being done. The signal's own reason, and what is no error of the peer, stay as they are. */
  async doing<T>(about: Doing, signal: AbortSignal | undefined, work: (place: PeerPlace) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    let place: PeerPlace;
    try {
      place = await this.reach(signal);
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw asStoreError(error, about);
    }
    try {
      return await work(place);
    } catch (error) {
      if (signal?.aborted === true && error === signal.reason) throw error;
      throw await explainFailure(error, about, place.client, place.root);
    }
  }

  /** Tells the user, once. */
  warnOnce(message: string): void {
    if (this.#warned.has(message)) return;
    this.#warned.add(message);
    this.#warn(message);
  }

  async #resolve(client: SftpClient): Promise<string> {
    if (!this.#directory.startsWith('~')) return this.#directory;
    // Where a session begins is the account's home (or its forced directory): "." of the protocol.
    return posix.join(await client.realPath('.'), this.#directory.slice(1));
  }
}
