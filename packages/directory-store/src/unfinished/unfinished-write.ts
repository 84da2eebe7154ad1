import { createHash } from 'node:crypto';
import type { CallOptions, Digest, ObjectInfo, PendingObject } from '@gantry/transport';
import { StoreError, abortable } from '@gantry/transport';
import { giveName } from '../commit.ts';
import type { StoreContext } from '../context.ts';
import type { FileSystemCapabilities, ReadableFile, WritableFile } from '../file-system.ts';
import { objectInfo } from '../listing.ts';
import type { SteadyRoot } from '../root.ts';
import { DurableProgress } from './durable-progress.ts';
import type { Place } from './places.ts';
import { removePlace, syncPlaces } from './places.ts';

/** An unfinished write: a file that nobody sees, until commit gives it its name. */
export class UnfinishedWrite implements PendingObject {
  readonly key: string;
  readonly token: string;
  readonly #context: StoreContext;
  readonly #root: SteadyRoot;
  readonly #place: Place;
  readonly #file: WritableFile;
  readonly #progress: DurableProgress;
  readonly #hash = createHash('sha256');
  readonly #capabilities: FileSystemCapabilities;
  #written = 0;
  #state: 'open' | 'failed' | 'ended' = 'open';

  private constructor(
    context: StoreContext,
    root: SteadyRoot,
    { place, file, capabilities }: { readonly place: Place; readonly file: WritableFile; readonly capabilities: FileSystemCapabilities },
  ) {
    this.key = place.record.key;
    this.token = place.token;
    this.#context = context;
    this.#root = root;
    this.#place = place;
    this.#file = file;
    this.#capabilities = capabilities;
    this.#progress = new DurableProgress(file, () => Promise.all([place.directory.sync(), syncPlaces(context)]), {
      ...capabilities,
      mark: place.record.mark,
    });
  }

  /** Begins with no byte, in a file of its own that this makes. Owns the place, when it succeeds. */
  static async create(context: StoreContext, root: SteadyRoot, place: Place, signal: AbortSignal | undefined): Promise<UnfinishedWrite> {
    const capabilities = await context.fileSystem.capabilities(signal);
    const file = await place.directory.create(place.record.data, signal);
    return new UnfinishedWrite(context, root, { place, file, capabilities });
  }

  get durableBytes(): number {
    return this.#progress.durableBytes;
  }

  /** Takes what another writer left, durably. */
  async copyFrom(left: ReadableFile, bytes: number, signal: AbortSignal | undefined): Promise<void> {
    for await (const chunk of abortable(left.read(0, bytes), signal)) await this.#take(chunk, signal);
    await this.#syncAll();
  }

  async append(source: AsyncIterable<Uint8Array>, { signal }: CallOptions = {}): Promise<void> {
    this.#assertOpen();
    try {
      // What the source throws comes through as it is, so only what is done with the file is translated.
      for await (const chunk of abortable(source, signal)) {
        await this.#doing('writing', signal, () => this.#take(chunk, signal));
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
      const info = await this.#doing('committing', signal, () => this.#finish());
      signal?.throwIfAborted();
      // From here on it is not cancelled: whoever is told that it failed could not know whether it can be seen.
      await this.#doing('committing', undefined, () => this.#giveName());
      committed = true;
      return info;
    } finally {
      await this.#end(committed);
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#end(false);
  }

  async suspend(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    try {
      await this.#doing('suspending', undefined, () => this.#syncAll());
    } finally {
      await this.#close();
    }
  }

  /** Closes what is open, and leaves everything where it is. */
  async abandon(): Promise<void> {
    this.#state = 'ended';
    await this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.discard();
  }

  #assertOpen(): void {
    if (this.#state === 'open') return;
    throw new StoreError('unsupported', { message: `the write of ${this.key} has ${this.#state}; it takes no more calls`, key: this.key });
  }

  async #take(chunk: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const written = this.#file.write(chunk, signal);
    // On this thread, while another one writes.
    this.#hash.update(chunk);
    await written;
    this.#written += chunk.length;
    await this.#progress.keepUp();
  }

  async #syncAll(): Promise<void> {
    await this.#file.flush();
    await this.#progress.all(this.#written);
  }

  #compare({ size, sha256 }: Digest): void {
    const actual = this.#hash.copy().digest('hex');
    if (size === this.#written && sha256 === actual) return;
    throw new StoreError('integrity', {
      key: this.key,
      message: `${this.key} should have ${size} bytes with SHA-256 ${sha256}, but ${this.#written} bytes with ${actual} arrived`,
      hint: 'The data was changed on its way: check memory and disks of this machine, and try again.',
    });
  }

  /** Makes the content durable. */
  async #finish(): Promise<ObjectInfo> {
    await this.#progress.idle();
    const [found] = await Promise.all([this.#file.finish(), this.#root.assertSame()]);
    if (found.size === this.#written) return objectInfo(this.key, found);
    throw new StoreError('integrity', {
      key: this.key,
      message: `the unfinished file of ${this.key} has ${found.size} bytes, but ${this.#written} were written`,
      hint: 'Something else changed it: look for another program that writes in the store.',
    });
  }

  async #giveName(): Promise<void> {
    const { directory, record } = this.#place;
    const { key, ifExists, data } = record;
    const durable = await giveName(this.#context, { key, ifExists, data, place: directory });
    if (!durable || !this.#capabilities.syncFile) this.#warnOfDurability();
  }

  #warnOfDurability(): void {
    this.#context.warnOnce(
      `${this.#context.shown}: not everything can be made durable there (its file system or its server lacks fsync, for SFTP fsync@openssh.com): what is written may be lost when its power fails`,
    );
  }

  /** What cannot be removed is named by `pending`; it must not hide how the write went. */
  async #end(committed: boolean): Promise<void> {
    try {
      const { data, mark } = this.#place.record;
      // Without its own file, the place is somebody else's by now.
      const isOwn = committed || (await this.#place.directory.find([data])) !== undefined;
      await this.#progress.end();
      await Promise.all([
        this.#close(),
        isOwn ? removePlace(this.#context, this.token, mark === undefined ? [data] : [data, mark]) : undefined,
      ]);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#context.warnOnce(`the unfinished write ${this.token} of ${this.key} stays in ${this.#context.shown}: ${why}`);
    } finally {
      await this.#close();
    }
  }

  async #close(): Promise<void> {
    await this.#progress.end();
    await this.#file[Symbol.asyncDispose]().catch(() => undefined);
    await this.#place.directory[Symbol.asyncDispose]();
  }

  #doing<T>(doing: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const where = (): string => `in ${this.#context.shown} at byte ${this.#file.arrivedBytes}`;
    return this.#context.doing({ doing: `${doing} ${this.key}`, where, key: this.key, signal }, work);
  }
}
