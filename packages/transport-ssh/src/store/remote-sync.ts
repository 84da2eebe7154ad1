import { Buffer } from 'node:buffer';
import { posix } from 'node:path';
import { FileLanes } from '../sftp/file-lanes.ts';
import type { LaneFile } from '../sftp/lane.ts';
import { OPEN } from '../sftp/protocol.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import type { PeerDirectory } from './peer-directory.ts';
import { MARK_DIGITS } from './pending-room.ts';
import type { PendingPlace, WriterFiles } from './pending-room.ts';
import { FILE_MODE, syncDirectory, writeAt } from './remote-files.ts';

interface Opened extends AsyncDisposable {
  readonly data: LaneFile;
  readonly mark: LaneFile;
}

/**
 * Makes the data of an unfinished write durable, and marks on the peer how much is. While more is written, it does so over a session
 * of its own: a server answers one session's requests one after the other, and nothing would be written while it syncs.
 */
export class RemoteSync implements AsyncDisposable {
  readonly #directory: PeerDirectory;
  readonly #place: PendingPlace;
  readonly #files: WriterFiles;
  readonly #written: LaneFile;
  #opened: Promise<Opened> | undefined;
  #durableBytes = 0;
  #requestedBytes = 0;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param written the data, as its writer has it open */
  constructor(directory: PeerDirectory, place: PendingPlace, files: WriterFiles, written: LaneFile) {
    this.#directory = directory;
    this.#place = place;
    this.#files = files;
    this.#written = written;
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
    this.#running = this.#sync(bytes, 'beside')
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
    if (bytes > this.#durableBytes || bytes === 0) await this.#sync(bytes, 'instead');
  }

  /** Makes the content durable, without a mark: what is committed needs none. */
  async content(): Promise<void> {
    await this.idle();
    const { client, handle } = this.#written;
    if (client.has('fsync')) await client.sync(handle);
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running;
    const opened = await this.#opened?.catch(() => undefined);
    await opened?.[Symbol.asyncDispose]();
  }

  /** @param how beside writing, or instead of it: then the writer's session serves */
  async #sync(bytes: number, how: 'beside' | 'instead'): Promise<void> {
    this.#opened ??= this.#open(how);
    const { data, mark } = await this.#opened;
    // Without the extension nothing more can be had than that the server has it.
    if (data.client.has('fsync')) await data.client.sync(data.handle);
    await writeAt(mark.client, mark.handle, 0, Buffer.from(String(bytes).padStart(MARK_DIGITS, '0')));
    if (mark.client.has('fsync')) await mark.client.sync(mark.handle);
    this.#durableBytes = Math.max(this.#durableBytes, bytes);
  }

  async #open(how: 'beside' | 'instead'): Promise<Opened> {
    await using scope = new AsyncDisposableStack();
    const data = how === 'instead' ? this.#written : scope.use(await this.#openBeside()).first;
    const { client } = data;
    const handle = await client.open(this.#files.mark, OPEN.write | OPEN.create, FILE_MODE);
    scope.defer(() => client.close(handle).catch(() => undefined));
    await this.#syncNames(client);
    const owned = scope.move();
    return { data, mark: { client, handle }, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  #openBeside(): Promise<FileLanes> {
    return FileLanes.open(this.#directory.pool, (client) => client.open(this.#files.data, OPEN.read | OPEN.write));
  }

  /** What is durable must be found again: by its names, up to the store's own. */
  async #syncNames(client: SftpClient): Promise<void> {
    const pending = posix.dirname(this.#place.directory);
    const root = posix.dirname(pending);
    await Promise.all([this.#place.directory, pending, root, posix.dirname(root)].map((directory) => syncDirectory(client, directory)));
  }
}
