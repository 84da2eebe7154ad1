import type { FileSystemCapabilities, WritableFile } from '../file-system.ts';

/** Makes the data of an unfinished write durable while more is written, and knows how much is. */
export class DurableProgress {
  readonly #file: WritableFile;
  readonly #syncNames: () => Promise<unknown>;
  readonly #mark: string | undefined;
  readonly #limits: Pick<FileSystemCapabilities, 'syncEveryBytes' | 'maxUnsyncedBytes'>;
  #durableBytes = 0;
  #requestedBytes = 0;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #named: Promise<unknown> | undefined;

  /**
   * @param syncNames makes the names durable with which the file is found again
   * @param options.mark the name of the file that says how much is durable; undefined for none
   */
  constructor(
    file: WritableFile,
    syncNames: () => Promise<unknown>,
    options: Pick<FileSystemCapabilities, 'syncEveryBytes' | 'maxUnsyncedBytes'> & { readonly mark: string | undefined },
  ) {
    this.#file = file;
    this.#syncNames = syncNames;
    this.#mark = options.mark;
    this.#limits = options;
  }

  get durableBytes(): number {
    return this.#durableBytes;
  }

  /** To be called after each chunk: begins to make durable what has arrived, and waits while too much is not. Throws what that failed with. */
  async keepUp(): Promise<void> {
    this.#throwFailure();
    while (this.#file.arrivedBytes - this.#durableBytes >= this.#limits.maxUnsyncedBytes && this.#running !== undefined) await this.idle();
    if (this.#running === undefined && this.#file.arrivedBytes - this.#requestedBytes >= this.#limits.syncEveryBytes) {
      this.#start(this.#file.arrivedBytes);
    }
  }

  /** Waits until nothing runs. Throws what it failed with: the system may not say it twice. */
  async idle(): Promise<void> {
    await this.#running;
    this.#throwFailure();
  }

  /** Makes the first `bytes`, which is all that was written and has arrived, durable. */
  async all(bytes: number): Promise<void> {
    await this.idle();
    if (bytes > this.#durableBytes || bytes === 0) await this.#sync(bytes, false);
  }

  /** Waits until nothing runs, whatever came of it. */
  async end(): Promise<void> {
    await this.#running;
  }

  #start(bytes: number): void {
    this.#requestedBytes = bytes;
    this.#running = this.#sync(bytes, true)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #sync(bytes: number, writing: boolean): Promise<void> {
    await this.#file.sync({ bytes, mark: this.#mark, writing });
    // What is durable must be found again, by its names.
    this.#named ??= this.#syncNames();
    await this.#named;
    this.#durableBytes = Math.max(this.#durableBytes, bytes);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
