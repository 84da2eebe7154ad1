import type { LaneFile } from './lane.ts';
import type { LaneLease, LanePool } from './lane-pool.ts';
import type { Handle, SftpClient } from './sftp-client.ts';

/** How much must have passed before further lanes are worth their connections, bytes. */
const GROW_AFTER_BYTES = 8 * 1024 * 1024;

/**
 * One file, opened over one lane, and over more as it turns out to be large where latency is high. Opening more happens beside the
 * transfer; where it fails, the transfer goes on with what it has.
 */
export class FileLanes implements AsyncDisposable {
  readonly files: LaneFile[] = [];
  readonly #pool: LanePool;
  readonly #openFile: (client: SftpClient) => Promise<Handle>;
  readonly #leases: LaneLease[] = [];
  #growing: Promise<void> | undefined;
  readonly #end = new AbortController();

  private constructor(pool: LanePool, openFile: (client: SftpClient) => Promise<Handle>) {
    this.#pool = pool;
    this.#openFile = openFile;
  }

  /** @param openFile opens the file; called again for each further lane */
  static async open(pool: LanePool, openFile: (client: SftpClient) => Promise<Handle>, signal?: AbortSignal): Promise<FileLanes> {
    const lanes = new FileLanes(pool, openFile);
    try {
      await lanes.#add(signal);
      return lanes;
    } catch (error) {
      await lanes[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The one that was opened first, and is always there. */
  get first(): LaneFile {
    const [first] = this.files;
    if (first === undefined) throw new Error('the file is closed');
    return first;
  }

  /** To be told of the bytes that have passed. */
  passed(bytes: number): void {
    if (bytes < GROW_AFTER_BYTES || this.#growing !== undefined) return;
    this.#growing = this.#grow().catch(() => undefined);
  }

  /** Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    await this.#growing;
    for (const lease of this.#leases) lease[Symbol.dispose]();
    // A handle whose connection is gone is closed already.
    await Promise.allSettled(this.files.map(({ client, handle }) => client.close(handle)));
  }

  async #grow(): Promise<void> {
    const [first] = this.#leases;
    if (first === undefined) return;
    for (let wanted = this.#pool.lanesWanted(first.lane); this.files.length < wanted && !this.#end.signal.aborted;) {
      const before = new Set(this.files.map(({ client }) => client));
      const lease = await this.#pool.lease(this.#end.signal);
      if (before.has(lease.lane.client)) return lease[Symbol.dispose]();
      await this.#openOver(lease);
    }
  }

  async #add(signal: AbortSignal | undefined): Promise<void> {
    await this.#openOver(await this.#pool.lease(signal));
  }

  async #openOver(lease: LaneLease): Promise<void> {
    const { client } = lease.lane;
    this.#leases.push(lease);
    this.files.push({ client, handle: await this.#openFile(client) });
  }
}
