import { Buffer } from 'node:buffer';
import { posix } from 'node:path';
import { FileLanes } from '../sftp/file-lanes.ts';
import type { LaneFile } from '../sftp/lane.ts';
import { OPEN } from '../sftp/protocol.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import type { PeerDirectory } from './peer-directory.ts';
import { MARK_DIGITS } from './pending-room.ts';
import type { PendingPlace } from './pending-room.ts';
import { FILE_MODE, syncDirectory, writeAt } from './remote-files.ts';

interface Opened {
  readonly data: FileLanes;
  readonly mark: LaneFile;
}

/**
 * Makes the data of an unfinished write durable while more is written, over a session of its own (a server answers one session's
 * requests one after the other, and nothing would be written while it syncs), and marks on the peer how much is.
 */
export class RemoteSync implements AsyncDisposable {
  readonly #directory: PeerDirectory;
  readonly #place: PendingPlace;
  #opened: Promise<Opened> | undefined;
  #durableBytes: number;
  #requestedBytes: number;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(directory: PeerDirectory, place: PendingPlace, durableBytes: number) {
    this.#directory = directory;
    this.#place = place;
    this.#durableBytes = durableBytes;
    this.#requestedBytes = durableBytes;
  }

  get durableBytes(): number {
    return this.#durableBytes;
  }

  /** How much is durable, or will be once what runs has ended. */
  get requestedBytes(): number {
    return this.#requestedBytes;
  }

  /** Makes the first `bytes` durable, which are written, beside whatever goes on. Does nothing while it already does so. */
  start(bytes: number): void {
    if (this.#running !== undefined) return;
    this.#requestedBytes = bytes;
    this.#running = this.#sync(bytes)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  /** Waits until nothing runs. */
  async idle(): Promise<void> {
    await this.#running;
    this.throwFailure();
  }

  /** Makes the first `bytes`, which is all that was written, durable, and marks them. */
  async all(bytes: number): Promise<void> {
    await this.idle();
    if (bytes > this.#durableBytes || bytes === 0) await this.#sync(bytes);
  }

  /** Makes the content durable, without a mark: what is committed needs none. */
  async content(): Promise<void> {
    await this.idle();
    const { data } = await this.#open();
    if (data.first.client.has('fsync')) await data.first.client.sync(data.first.handle);
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    if (opened === undefined) return;
    await opened.mark.client.close(opened.mark.handle).catch(() => undefined);
    await opened.data[Symbol.asyncDispose]();
  }

  async #sync(bytes: number): Promise<void> {
    const { data, mark } = await this.#open();
    const { client, handle } = data.first;
    // Without the extension nothing more can be had than that the server has it.
    if (client.has('fsync')) await client.sync(handle);
    await writeAt(mark.client, mark.handle, 0, Buffer.from(String(bytes).padStart(MARK_DIGITS, '0')));
    if (client.has('fsync')) await mark.client.sync(mark.handle);
    this.#durableBytes = Math.max(this.#durableBytes, bytes);
  }

  #open(): Promise<Opened> {
    this.#opened ??= this.#openFiles();
    return this.#opened;
  }

  async #openFiles(): Promise<Opened> {
    const data = await FileLanes.open(this.#directory.pool, (client) => client.open(this.#place.data, OPEN.read | OPEN.write));
    const { client } = data.first;
    try {
      const handle = await client.open(this.#place.mark, OPEN.write | OPEN.create, FILE_MODE);
      await this.#syncNames(client);
      return { data, mark: { client, handle } };
    } catch (error) {
      await data[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What is durable must be found again: by its names, up to the store's own. */
  async #syncNames(client: SftpClient): Promise<void> {
    const pending = posix.dirname(this.#place.directory);
    const root = posix.dirname(pending);
    await Promise.all([this.#place.directory, pending, root, posix.dirname(root)].map((directory) => syncDirectory(client, directory)));
  }
}
