import type { FileSystemCapabilities, WritableFile } from '../file-system.ts';

/** Makes the data of an unfinished write durable while more is written, and knows how much of it is durable. */
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
   * @param syncNames makes the names of the file and its directories durable
   * @param options.mark the name of the file that holds the number of durable bytes; undefined for none
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

  /** To be called after each chunk: starts making arrived bytes durable, and waits while too many are not. Throws the error of a failed sync. */
  async keepUp(): Promise<void> {
    this.#throwFailure();
    while (this.#file.arrivedBytes - this.#durableBytes >= this.#limits.maxUnsyncedBytes && this.#running !== undefined) await this.idle();
    if (this.#running === undefined && this.#file.arrivedBytes - this.#requestedBytes >= this.#limits.syncEveryBytes) {
      this.#start(this.#file.arrivedBytes);
    }
  }

  /** Waits for a running sync. Throws its error, because the system may not report it twice. */
  async idle(): Promise<void> {
    await this.#running;
    this.#throwFailure();
  }

  /** Makes the first `bytes` durable: all bytes written, which must have arrived. */
  async all(bytes: number): Promise<void> {
    await this.idle();
    if (bytes > this.#durableBytes || bytes === 0) await this.#sync(bytes, false);
  }

  /** Waits for a running sync and ignores its result. */
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
    // Durable bytes must also be reachable by name.
    this.#named ??= this.#syncNames();
    await this.#named;
    this.#durableBytes = Math.max(this.#durableBytes, bytes);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
