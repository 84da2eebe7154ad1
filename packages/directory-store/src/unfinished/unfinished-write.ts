import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { BeginOptions, CallOptions, CommitDigest, ObjectInfo, ObjectRange, PendingObject } from '@gantry/transport';
import { StoreError, abortable, assertKey, assertRange, assertRangeCopy, isStoreError, orAbort, failureText } from '@gantry/transport';
import { commitFile } from '../commit.ts';
import type { StoreContext } from '../context.ts';
import type { FileSystemCapabilities, ReadableFile, WritableFile } from '../file-system.ts';
import { objectInfo } from '../listing.ts';
import { openObject } from '../open-object.ts';
import { orMissing } from '../paths.ts';
import type { StableRoot } from '../root.ts';
import { DurableProgress } from './durable-progress.ts';
import { namesOf } from './record.ts';
import type { WriteFiles } from './write-directory.ts';
import { removeWriteDirectory, syncWriteDirectories } from './write-directory.ts';

/** An unfinished write: a file that is not visible until commit gives it its name. */
export class UnfinishedWrite implements PendingObject {
  readonly key: string;
  readonly token: string;
  readonly #context: StoreContext;
  readonly #root: StableRoot;
  readonly #files: WriteFiles;
  readonly #file: WritableFile;
  readonly #progress: DurableProgress;
  readonly #digestBy: BeginOptions['digestBy'];
  /** Undefined where somebody else digests. */
  readonly #hash: Hash | undefined;
  readonly #capabilities: FileSystemCapabilities;
  readonly #isBeside: boolean;
  #written = 0;
  #state: 'open' | 'failed' | 'ended' = 'open';

  private constructor(
    context: StoreContext,
    root: StableRoot,
    {
      files,
      file,
      capabilities,
      digestBy,
      isBeside,
    }: {
      readonly files: WriteFiles;
      readonly file: WritableFile;
      readonly capabilities: FileSystemCapabilities;
      readonly digestBy: BeginOptions['digestBy'];
      readonly isBeside: boolean;
    },
  ) {
    this.key = files.record.key;
    this.token = files.token;
    this.#context = context;
    this.#root = root;
    this.#files = files;
    this.#file = file;
    this.#capabilities = capabilities;
    this.#isBeside = isBeside;
    this.#digestBy = digestBy ?? 'store';
    this.#hash = this.#digestBy === 'store' ? createHash('sha256') : undefined;
    this.#progress = new DurableProgress(file, () => Promise.all([files.directory.sync(), syncWriteDirectories(context)]), {
      ...capabilities,
      mark: files.record.mark,
    });
  }

  /**
   * Starts an empty write, in a new file. On success it owns the directory.
   *
   * @param options.isBeside another writer's data is there too, and stays unless this becomes the object
   */
  static async create(
    context: StoreContext,
    root: StableRoot,
    files: WriteFiles,
    { digestBy, isBeside = false, signal }: Pick<BeginOptions, 'digestBy' | 'signal'> & { readonly isBeside?: boolean },
  ): Promise<UnfinishedWrite> {
    const capabilities = await context.fileSystem.capabilities(signal);
    const file = await files.directory.create(files.record.data, signal);
    return new UnfinishedWrite(context, root, { files, file, capabilities, digestBy, isBeside });
  }

  get durableBytes(): number {
    return this.#progress.durableBytes;
  }

  /** Has the file system copy the bytes that another writer left. @returns false if it does not: then nothing is to be made of this write */
  async copyWithin(left: ReadableFile, bytes: number, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.#copyThere(left, { key: this.key, offset: 0, length: bytes }, signal)) === bytes;
  }

  /** Copies the bytes that another writer left, durably. */
  async copyFrom(left: ReadableFile, bytes: number, signal: AbortSignal | undefined): Promise<void> {
    for await (const chunk of abortable(left.read(0, bytes), signal)) await this.#take(chunk, signal);
    await this.#syncAll();
  }

  async append(source: AsyncIterable<Uint8Array>, { signal }: CallOptions = {}): Promise<void> {
    this.#assertOpen();
    try {
      // Errors of the source are not changed: only errors of the file are translated.
      for await (const chunk of abortable(source, signal)) {
        await this.#doing('writing', signal, () => this.#take(chunk, signal));
      }
      signal?.throwIfAborted();
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }

  async appendRange(range: ObjectRange, { signal }: CallOptions = {}): Promise<number> {
    this.#assertOpen();
    assertRangeCopy(this.key, this.#digestBy);
    assertKey(range.key);
    try {
      return await this.#doing(`copying ${range.key} into`, signal, async () => {
        await using source = await openObject(this.#context, range.key, signal);
        assertRange(range.key, { ...range, objectSize: source.found.size });
        return await this.#copy(source, range, signal);
      });
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }

  async commit(digest: CommitDigest, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    this.#assertOpen();
    this.#state = 'ended';
    let [committed, isThere] = [false, false];
    try {
      signal?.throwIfAborted();
      this.#compare(digest);
      const info = await this.#doing('committing', signal, () => this.#finish());
      signal?.throwIfAborted();
      // It is not cancelled from here on: after a cancelled commit the caller could not know whether the object is visible.
      await this.#doing('committing', undefined, () => this.#commitFile());
      committed = true;
      return info;
    } catch (error) {
      // What another writer has left is of no more use.
      isThere = isStoreError(error, 'exists');
      throw error;
    } finally {
      await this.#end({ committed, isThere });
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#end({ committed: false, isThere: false });
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

  async leave(): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    await this.#close();
  }

  /**
   * Ends a write that should have taken over another one's directory. What that one left stays; the files of this one go, or they would
   * keep the space of another copy.
   *
   * @param isTakenOver whether the directory is already this one's: then its files stay, for the next writer
   */
  async abandon(isTakenOver: () => Promise<boolean>): Promise<void> {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    try {
      await this.#progress.end();
      // What cannot be removed now is removed with the directory.
      if (!(await isTakenOver())) await this.#removeOwn().catch(() => undefined);
    } finally {
      await this.#close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.discard();
  }

  #assertOpen(): void {
    if (this.#state === 'open') return;
    throw new StoreError('unsupported', { message: `cannot use the write of ${this.key}: it has ${this.#state}`, key: this.key });
  }

  async #take(chunk: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const written = this.#file.write(chunk, signal);
    // Hashes on this thread while another one writes.
    this.#hash?.update(chunk);
    await written;
    this.#written += chunk.length;
    await this.#progress.keepUp();
  }

  /** @returns how many bytes passed through this machine */
  async #copy(source: ReadableFile, range: ObjectRange, signal: AbortSignal | undefined): Promise<number> {
    const { key, offset, length } = range;
    const end = offset + length;
    const copiedTo = offset + (await this.#copyThere(source, range, signal));
    let at = copiedTo;
    for await (const chunk of abortable(source.read(at, end), signal)) {
      await this.#take(chunk, signal);
      at += chunk.length;
    }
    if (at < end) throw endsEarly(key, at, end);
    return end - copiedTo;
  }

  /** Has the file system copy bytes, as long as it does. @returns how many */
  async #copyThere(source: ReadableFile, { key, offset, length }: ObjectRange, signal: AbortSignal | undefined): Promise<number> {
    const end = offset + length;
    let at = offset;
    while (at < end) {
      signal?.throwIfAborted();
      const copied = await orAbort(this.#file.copy?.(source, at, end - at, signal) ?? Promise.resolve(undefined), signal);
      if (copied === undefined) break;
      if (copied === 0) throw endsEarly(key, at, end);
      at += copied;
      this.#written += copied;
      await this.#progress.keepUp();
    }
    return at - offset;
  }

  async #syncAll(): Promise<void> {
    await this.#file.flush();
    await this.#progress.all(this.#written);
  }

  #compare({ size, sha256 }: CommitDigest): void {
    const actual = this.#hash?.copy().digest('hex') ?? sha256;
    if (size === this.#written && sha256 === actual) return;
    throw new StoreError('integrity', {
      key: this.key,
      message:
        actual === undefined
          ? `cannot commit ${this.key}: got ${this.#written} bytes, expected ${size}`
          : `cannot commit ${this.key}: got ${this.#written} bytes with SHA-256 ${actual}, expected ${size} bytes with ${sha256 ?? 'no SHA-256'}`,
      hint: 'The data changed on its way: check the memory and disks of this machine, and try again.',
    });
  }

  /** Makes the content durable. */
  async #finish(): Promise<ObjectInfo> {
    await this.#progress.idle();
    const [found] = await Promise.all([this.#file.finish(), this.#root.assertSame()]);
    if (found.size === this.#written) return objectInfo(this.key, found);
    throw new StoreError('integrity', {
      key: this.key,
      message: `cannot commit ${this.key}: its file has ${found.size} bytes, but ${this.#written} were written`,
      hint: 'Another program changed it: find out what else writes in the store.',
    });
  }

  async #commitFile(): Promise<void> {
    const { directory, record } = this.#files;
    const { key, ifExists, data } = record;
    const durable = await commitFile(this.#context, { key, ifExists, data, directory });
    if (!durable || !this.#capabilities.syncFile) this.#warnOfDurability();
  }

  #warnOfDurability(): void {
    this.#context.warnOnce(
      `${this.#context.shown}: its file system or server lacks fsync (for SFTP fsync@openssh.com): what is written may be lost if the power fails`,
    );
  }

  /** A failure to remove the rest must not hide the result of the write: `pending` lists what is left. */
  async #end({ committed, isThere }: { readonly committed: boolean; readonly isThere: boolean }): Promise<void> {
    try {
      if (this.#isBeside && !committed && !isThere) {
        await this.#progress.end();
        await this.#removeOwn();
        return;
      }
      const { directory, record } = this.#files;
      // If its own file is gone, another writer has taken over the directory.
      const isOwn = committed || (await directory.find([record.data])) !== undefined;
      await this.#progress.end();
      await Promise.all([this.#close(), isOwn ? removeWriteDirectory(this.#context, this.token, namesOf(record)) : undefined]);
    } catch (error) {
      const why = failureText(error);
      this.#context.warnOnce(`cannot remove the unfinished write ${this.token} of ${this.key} from ${this.#context.shown}: ${why}`);
    } finally {
      await this.#close();
    }
  }

  async #removeOwn(): Promise<void> {
    const { directory, record } = this.#files;
    await Promise.all(namesOf(record).map((name) => orMissing(directory.remove(name))));
  }

  async #close(): Promise<void> {
    await this.#progress.end();
    await this.#file[Symbol.asyncDispose]().catch(() => undefined);
    await this.#files.directory[Symbol.asyncDispose]();
  }

  #doing<T>(doing: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const where = (): string => `in ${this.#context.shown} at byte ${this.#file.arrivedBytes}`;
    return this.#context.doing({ doing: `${doing} ${this.key}`, where, key: this.key, signal }, work);
  }
}

function endsEarly(key: string, at: number, end: number): StoreError {
  return new StoreError('integrity', {
    key,
    message: `cannot copy ${key} up to byte ${end}: it has only ${at} bytes`,
    hint: 'Another program truncated it: find out which one, and take another export.',
  });
}
