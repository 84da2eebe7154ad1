import { createHash } from 'node:crypto';
import type { CallOptions, Digest, ObjectInfo, PendingObject } from '@gantry/transport';
import { StoreError, abortable, orAbort } from '@gantry/transport';
import { FileLanes } from '../sftp/file-lanes.ts';
import { readPieces } from '../sftp/file-reader.ts';
import { FileWriter } from '../sftp/file-writer.ts';
import { OPEN } from '../sftp/protocol.ts';
import type { Handle, SftpClient } from '../sftp/sftp-client.ts';
import { explainFailure, explainWriteFailure } from './errors.ts';
import { objectInfo } from './listing.ts';
import type { PeerDirectory } from './peer-directory.ts';
import type { PendingPlace, PendingRecord, WriterFiles } from './pending-room.ts';
import { ownRecord, readDurableBytes, removePlace, writeRecord, writerFiles } from './pending-room.ts';
import { publish } from './publish.ts';
import { FILE_MODE, lookAt, removeFile } from './remote-files.ts';
import { RemoteSync } from './remote-sync.ts';

/** How much may be written before it is made durable, bytes: bounds what the peer holds back, and what a crash costs. */
const SYNC_EVERY_BYTES = 64 * 1024 * 1024;

/** How much may be written and not be durable before the writer waits, bytes. */
const WAIT_BEYOND_BYTES = 4 * SYNC_EVERY_BYTES;

/** An unfinished write: a file on the peer that nobody sees, until commit gives it its name. */
export class RemotePending implements PendingObject {
  readonly key: string;
  readonly token: string;
  readonly #directory: PeerDirectory;
  readonly #place: PendingPlace;
  readonly #files: WriterFiles;
  readonly #ifExists: PendingRecord['ifExists'];
  readonly #lanes: FileLanes;
  readonly #writer: FileWriter;
  readonly #sync: RemoteSync;
  readonly #hash = createHash('sha256');
  #state: 'open' | 'failed' | 'ended' = 'open';

  private constructor(directory: PeerDirectory, place: PendingPlace, record: PendingRecord, lanes: FileLanes) {
    this.#directory = directory;
    this.#place = place;
    this.#files = writerFiles(place, record);
    this.#ifExists = record.ifExists;
    this.key = record.key;
    this.token = place.token;
    this.#lanes = lanes;
    this.#writer = new FileWriter(lanes);
    this.#sync = new RemoteSync(directory, place, this.#files, lanes.first);
  }

  /** Begins in a new place. */
  static async create(
    directory: PeerDirectory,
    place: PendingPlace,
    record: PendingRecord,
    signal: AbortSignal | undefined,
  ): Promise<RemotePending> {
    const { data } = writerFiles(place, record);
    let flags = OPEN.read | OPEN.write | OPEN.create | OPEN.exclusive;
    const open = (client: SftpClient): Promise<Handle> => {
      const opening = client.open(data, flags, FILE_MODE);
      flags = OPEN.read | OPEN.write;
      return opening;
    };
    return new RemotePending(directory, place, record, await FileLanes.open(directory.pool, open, signal));
  }

  /**
   * Goes on where another writer stopped. With a copy, since who looks dead may only be slow: it keeps a file that nobody will look
   * at again, whatever it still writes. (No server-side copy: the bytes must be read anyway, for the digest of the whole.)
   */
  static async takeOver(
    directory: PeerDirectory,
    place: PendingPlace,
    before: PendingRecord,
    signal: AbortSignal | undefined,
  ): Promise<RemotePending> {
    const { client } = await directory.reach(signal);
    const durableBytes = await orAbort(readDurableBytes(client, place, before), signal);
    const record = await ownRecord(before);
    const left = writerFiles(place, before);
    const pending = await RemotePending.create(directory, place, record, signal);
    try {
      await pending.#copy(left.data, durableBytes, signal);
      await orAbort(writeRecord(client, place, record), signal);
      // What stays is removed with the place.
      await Promise.allSettled([left.data, left.mark].map((path) => removeFile(client, path)));
      return pending;
    } catch (error) {
      await pending.#letGo();
      await Promise.allSettled([pending.#files.data, pending.#files.mark].map((path) => removeFile(client, path)));
      throw error;
    }
  }

  get durableBytes(): number {
    return this.#sync.durableBytes;
  }

  async append(source: AsyncIterable<Uint8Array>, { signal }: CallOptions = {}): Promise<void> {
    this.#assertOpen();
    try {
      // What the source throws comes through as it is, so only what is done with the peer is translated.
      for await (const chunk of abortable(source, signal)) {
        await this.#doing('writing', signal, this.#take(chunk));
      }
      signal?.throwIfAborted();
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }

  async commit(digest: Digest, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    this.#assertOpen();
    this.#state = 'ended';
    let committed = false;
    try {
      signal?.throwIfAborted();
      this.#compare(digest);
      const info = await this.#doing('committing', signal, this.#finish());
      signal?.throwIfAborted();
      // From here on it is not cancelled: whoever is told that it failed could not know whether it can be seen.
      await this.#doing('committing', undefined, this.#publish(), explainFailure);
      committed = true;
      return info;
    } finally {
      // What cannot be removed is named by `pending`; it must not hide how the commit went.
      await this.#end(committed).catch((error: unknown) => this.#warnOfRest(error));
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    // Most are discarded because something failed: that must stay the error. `pending` names what could not be removed.
    await this.#end(false).catch((error: unknown) => this.#warnOfRest(error));
  }

  async suspend(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    try {
      await this.#doing('suspending', undefined, this.#syncAll());
    } finally {
      await this.#letGo();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.discard();
  }

  #assertOpen(): void {
    if (this.#state === 'open') return;
    throw new StoreError('unsupported', { message: `the write of ${this.key} has ${this.#state}; it takes no more calls`, key: this.key });
  }

  async #take(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    await this.#writer.write(chunk);
    const unsynced = this.#writer.answeredTo - this.#sync.requestedBytes;
    if (unsynced >= SYNC_EVERY_BYTES) this.#sync.start(this.#writer.answeredTo);
    this.#sync.throwFailure();
    if (this.#writer.answeredTo - this.durableBytes >= WAIT_BEYOND_BYTES) await this.#sync.idle();
  }

  /** Takes what another writer left, durably. @throws StoreError `not-found` */
  async #copy(path: string, bytes: number, signal: AbortSignal | undefined): Promise<void> {
    if (bytes === 0) return;
    await using left = await FileLanes.open(this.#directory.pool, (client) => client.open(path, OPEN.read), signal);
    const pieces = readPieces(left, 0, bytes);
    for (;;) {
      const { value } = await orAbort(pieces.next(), signal);
      if (value === undefined) break;
      await orAbort(this.#take(value), signal);
    }
    await orAbort(this.#syncAll(), signal);
  }

  async #syncAll(): Promise<void> {
    await this.#writer.flush();
    await this.#sync.all(this.#writer.position);
  }

  #compare({ size, sha256 }: Digest): void {
    const actual = this.#hash.copy().digest('hex');
    if (size === this.#writer.position && sha256 === actual) return;
    throw new StoreError('integrity', {
      key: this.key,
      message: `${this.key} should have ${size} bytes with SHA-256 ${sha256}, but ${this.#writer.position} bytes with ${actual} arrived`,
      hint: 'The data was changed on its way: check memory and disks of this machine, and try again.',
    });
  }

  /** Makes the content durable. */
  async #finish(): Promise<ObjectInfo> {
    await this.#writer.flush();
    const { client, handle } = this.#lanes.first;
    const [attributes] = await Promise.all([client.fstat(handle), this.#sync.content()]);
    if (attributes.size === this.#writer.position) return objectInfo(this.key, attributes);
    throw new StoreError('integrity', {
      key: this.key,
      message: `the unfinished file of ${this.key} has ${attributes.size} bytes on the peer, but ${this.#writer.position} were written`,
      hint: 'Somebody changed it there: look for another program that writes in the store.',
    });
  }

  async #publish(): Promise<void> {
    const { client, root } = await this.#directory.reach();
    const durable = await publish(client, { root, key: this.key, data: this.#files.data, ifExists: this.#ifExists });
    if (!durable || !client.has('fsync')) this.#warnOfDurability();
  }

  #warnOfDurability(): void {
    this.#directory.warnOnce(
      `${this.#directory.address}: the SFTP server of the peer cannot make everything durable (fsync@openssh.com); what is written may be lost with the peer's power`,
    );
  }

  async #end(committed: boolean): Promise<void> {
    await this.#letGo();
    const { client, root } = await this.#directory.reach();
    // Without its own file, the place is somebody else's by now.
    if (committed || (await lookAt(client, this.#files.data)) !== undefined) await removePlace(client, root, this.#place, this.#files);
  }

  async #letGo(): Promise<void> {
    await this.#sync[Symbol.asyncDispose]();
    await this.#lanes[Symbol.asyncDispose]();
  }

  #warnOfRest(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#directory.warnOnce(`the unfinished write ${this.token} of ${this.key} stays in ${this.#directory.address}: ${why}`);
  }

  async #doing<T>(doing: string, signal: AbortSignal | undefined, work: Promise<T>, explain = explainWriteFailure): Promise<T> {
    try {
      return await orAbort(work, signal);
    } catch (error) {
      if (signal?.aborted === true && error === signal.reason) throw error;
      const where = `${doing} ${this.key} in ${this.#directory.address} at byte ${this.#writer.answeredTo}`;
      throw await explain(error, { doing: where, key: this.key }, this.#lanes.first.client, this.#place.directory);
    }
  }
}
