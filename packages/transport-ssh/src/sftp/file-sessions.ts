import { closeOnFailure } from '@gantry/transport';
import type { SessionFile } from './pooled-session.ts';
import type { SessionLease, SessionPool } from './session-pool.ts';
import type { Handle, SftpClient } from './sftp-client.ts';

/** After how many bytes further sessions are worth their connections. */
const GROW_AFTER_BYTES = 8 * 1024 * 1024;

/**
 * One file, opened over one session, and over more if it is large and latency is high. Further sessions are opened during the transfer; if
 * that fails, the transfer continues with those it has.
 */
export class FileSessions implements AsyncDisposable {
  readonly files: SessionFile[] = [];
  readonly #pool: SessionPool;
  readonly #openFile: (client: SftpClient) => Promise<Handle>;
  readonly #leases: SessionLease[] = [];
  #growing: Promise<void> | undefined;
  readonly #end = new AbortController();

  private constructor(pool: SessionPool, openFile: (client: SftpClient) => Promise<Handle>) {
    this.#pool = pool;
    this.#openFile = openFile;
  }

  /** @param openFile opens the file; called again for each further session */
  static async open(pool: SessionPool, openFile: (client: SftpClient) => Promise<Handle>, signal?: AbortSignal): Promise<FileSessions> {
    const sessions = new FileSessions(pool, openFile);
    await closeOnFailure(
      () => sessions[Symbol.asyncDispose](),
      () => sessions.#add(signal),
    );
    return sessions;
  }

  /** The one that was opened first, which always exists. */
  get first(): SessionFile {
    const [first] = this.files;
    if (first === undefined) throw new Error('the file is closed');
    return first;
  }

  /** To be called with the number of bytes transferred so far. */
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
    // The handle of a lost connection is closed already.
    await Promise.allSettled(this.files.map(({ client, handle }) => client.close(handle)));
  }

  async #grow(): Promise<void> {
    const [first] = this.#leases;
    if (first === undefined) return;
    for (let wanted = this.#pool.sessionsWanted(first.session); this.files.length < wanted && !this.#end.signal.aborted;) {
      const before = new Set(this.files.map(({ client }) => client));
      const lease = await this.#pool.lease(this.#end.signal);
      if (before.has(lease.session.client)) return lease[Symbol.dispose]();
      await this.#openOver(lease);
    }
  }

  async #add(signal: AbortSignal | undefined): Promise<void> {
    await this.#openOver(await this.#pool.lease(signal));
  }

  async #openOver(lease: SessionLease): Promise<void> {
    const { client } = lease.session;
    this.#leases.push(lease);
    this.files.push({ client, handle: await this.#openFile(client) });
  }
}
