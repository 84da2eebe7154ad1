import { Buffer } from 'node:buffer';
import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { CallOptions, Digest, ObjectInfo, PendingObject } from '@gantry/transport';
import { StoreError, abortable } from '@gantry/transport';
import { FileLanes } from '../sftp/file-lanes.ts';
import { readPieces } from '../sftp/file-reader.ts';
import { FileWriter } from '../sftp/file-writer.ts';
import { OPEN } from '../sftp/protocol.ts';
import { withSignal } from '../with-signal.ts';
import { explainWriteFailure } from './errors.ts';
import { objectInfo } from './listing.ts';
import type { PeerDirectory } from './peer-directory.ts';
import type { PendingPlace, PendingRecord } from './pending-room.ts';
import { readRecord, removePlace } from './pending-room.ts';
import { publish } from './publish.ts';
import { FILE_MODE } from './remote-files.ts';
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
  readonly #record: PendingRecord;
  readonly #lanes: FileLanes;
  readonly #writer: FileWriter;
  readonly #sync: RemoteSync;
  readonly #hash: Hash;
  #state: 'open' | 'failed' | 'ended' = 'open';

  private constructor(
    directory: PeerDirectory,
    place: PendingPlace,
    record: PendingRecord,
    opened: { readonly lanes: FileLanes; readonly sync: RemoteSync; readonly hash: Hash; readonly durableBytes: number },
  ) {
    this.#directory = directory;
    this.#place = place;
    this.#record = record;
    this.key = record.key;
    this.token = place.token;
    this.#lanes = opened.lanes;
    this.#sync = opened.sync;
    this.#hash = opened.hash;
    this.#writer = new FileWriter(opened.lanes, opened.durableBytes);
  }

  /**
   * Opens the data of a write. What is durable is read once more, for the digest of the whole; what is not is cut off.
   * @param durableBytes how much there is already
   */
  static async open(
    directory: PeerDirectory,
    place: PendingPlace,
    record: PendingRecord,
    options: { readonly durableBytes: number; readonly signal?: AbortSignal | undefined },
  ): Promise<RemotePending> {
    const { durableBytes, signal } = options;
    await using scope = new AsyncDisposableStack();
    const lanes = scope.use(
      await FileLanes.open(directory.pool, (client) => client.open(place.data, OPEN.read | OPEN.write | OPEN.create, FILE_MODE), signal),
    );
    const hash = createHash('sha256');
    if (durableBytes > 0) {
      await withSignal(lanes.first.client.truncate(lanes.first.handle, durableBytes), signal);
      await hashPieces(lanes, durableBytes, hash, signal);
    }
    const sync = scope.use(new RemoteSync(directory, place, lanes.first, durableBytes));
    scope.move();
    return new RemotePending(directory, place, record, { lanes, sync, hash, durableBytes });
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
    try {
      signal?.throwIfAborted();
      this.#compare(digest);
      const info = await this.#doing('committing', signal, this.#finish());
      signal?.throwIfAborted();
      // From here on it is not cancelled: whoever is told that it failed could not know whether it can be seen.
      await this.#doing('committing', undefined, this.#publish());
      return info;
    } finally {
      // What cannot be removed is named by `pending`; it must not hide how the commit went.
      await this.#end().catch((error: unknown) => this.#warnOfRest(error));
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    // Most are discarded because something failed: that must stay the error. `pending` names what could not be removed.
    await this.#end().catch((error: unknown) => this.#warnOfRest(error));
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

  /** Makes the content durable, and looks whether it is ours alone. */
  async #finish(): Promise<ObjectInfo> {
    await this.#writer.flush();
    const { client, handle } = this.#lanes.first;
    const [attributes, record] = await Promise.all([client.fstat(handle), readRecord(client, this.#place), this.#sync.content()]);
    if (attributes.size === this.#writer.position && record.writer === this.#record.writer) return objectInfo(this.key, attributes);
    throw new StoreError('integrity', {
      key: this.key,
      message: `the unfinished file of ${this.key} has ${attributes.size} bytes, of which ${this.#writer.position} were written here: somebody else resumed it`,
      hint: 'Let only one process resume a write.',
    });
  }

  async #publish(): Promise<void> {
    const { client, root } = await this.#directory.reach();
    const durable = await publish(client, { root, key: this.key, data: this.#place.data, ifExists: this.#record.ifExists });
    if (!durable || !client.has('fsync')) this.#warnOfDurability();
  }

  #warnOfDurability(): void {
    this.#directory.warnOnce(
      `${this.#directory.address}: the SFTP server of the peer cannot make everything durable (fsync@openssh.com); what is written may be lost with the peer's power`,
    );
  }

  async #end(): Promise<void> {
    await this.#letGo();
    const { client, root } = await this.#directory.reach();
    await removePlace(client, root, this.#place);
  }

  async #letGo(): Promise<void> {
    await this.#sync[Symbol.asyncDispose]();
    await this.#lanes[Symbol.asyncDispose]();
  }

  #warnOfRest(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#directory.warnOnce(`the unfinished write ${this.token} of ${this.key} stays in ${this.#directory.address}: ${why}`);
  }

  async #doing<T>(doing: string, signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
    try {
      return await withSignal(work, signal);
    } catch (error) {
      if (signal?.aborted === true && error === signal.reason) throw error;
      const where = `${doing} ${this.key} in ${this.#directory.address} at byte ${this.#writer.answeredTo}`;
      throw await explainWriteFailure(error, { doing: where, key: this.key }, this.#lanes.first.client, this.#place.directory);
    }
  }
}

async function hashPieces(lanes: FileLanes, end: number, hash: Hash, signal: AbortSignal | undefined): Promise<void> {
  const pieces = readPieces(lanes, 0, end);
  for (;;) {
    const { value } = await withSignal(pieces.next(), signal);
    if (value === undefined) return;
    hash.update(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  }
}
