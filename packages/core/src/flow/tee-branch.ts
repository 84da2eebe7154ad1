import type { Store } from '@gantry/transport';
import type { StoreExportWriter } from '../exports/store-sink.ts';
import { asGantryError } from '../exports/store-errors.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { Consumer, Occurrence } from './fan-out.ts';
import { Backlog } from './fan-out.ts';

export interface BranchOptions {
  /** How many stored bytes may wait for it. */
  readonly bufferBytes: number;
  /** Happens when its backlog gets smaller, or it is given up. */
  readonly changed: Occurrence;
  /** Called once, when the export is given up in this store. */
  readonly onFailure: (failure: GantryError) => void;
}

/** One of several stores that get an export: a failure in it is its own. */
export class TeeBranch implements Consumer {
  readonly store: Store;
  readonly backlog: Backlog;
  readonly #options: BranchOptions;
  #writer: StoreExportWriter | undefined;
  #abort = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  #failure: GantryError | undefined;
  #closed: Promise<void> = Promise.resolve();

  constructor(store: Store, options: BranchOptions) {
    this.store = store;
    this.backlog = new Backlog(options.bufferBytes, options.changed);
    this.#options = options;
  }

  /** Why the export was given up in this store. */
  get failure(): GantryError | undefined {
    return this.#failure;
  }

  get isLive(): boolean {
    return this.#failure === undefined;
  }

  /** The export in this store. @throws TypeError if it is not claimed yet */
  get writer(): StoreExportWriter {
    if (this.#writer === undefined) throw new TypeError(`there is no claim in ${this.store.address}`);
    return this.#writer;
  }

  /** An export begins, or begins anew: the one before was given up. */
  begin(writer: StoreExportWriter): void {
    this.#writer = writer;
    if (this.#abort.signal.aborted) this.#abort = new AbortController();
  }

  /** Aborted when the export is given up in this store. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * Does something in this store, and gives the export up there if that fails.
   *
   * @param isOurs whether what happens now is not this store's failure: the operation has ended, or the source failed
   * @returns undefined if it failed
   */
  async attempt<T>(work: () => Promise<T>, isOurs: () => boolean): Promise<{ readonly value: T } | undefined> {
    if (!this.isLive) return undefined;
    const running = work();
    const settled = running.then(
      () => undefined,
      () => undefined,
    );
    this.#running.add(settled);
    try {
      return { value: await running };
    } catch (error) {
      if (!isOurs() && !this.#abort.signal.aborted) this.fail(error);
      return undefined;
    } finally {
      this.#running.delete(settled);
    }
  }

  leaveBehind(): void {
    this.fail(
      new GantryError('STORE_TOO_SLOW', {
        message: `store ${this.store.address}: it is slower than the others, which would have to wait for it`,
        hint: 'Give it a larger --store-buffer, or export into the faster stores only and copy from there.',
      }),
    );
  }

  /** Gives the export up in this store: what was written of it is removed. */
  fail(error: unknown): void {
    if (!this.isLive) return;
    const failure = asGantryError(error, this.store.address);
    this.#failure =
      failure instanceof GantryError
        ? failure
        : new GantryError('STORE_FAILED', { message: `store ${this.store.address}: ${errorText(failure)}`, cause: error });
    this.#abort.abort(this.#failure);
    this.#options.onFailure(this.#failure);
    this.#options.changed.happen();
    this.#closed = this.#close();
  }

  /** Resolves when nothing runs in this store any more. */
  async quiet(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Ends what runs, and removes what was written of an export that is not complete. The store itself has not failed. */
  async drop(): Promise<void> {
    this.#abort.abort(new Error('the export is given up'));
    await this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    await this.quiet();
    await this.#writer?.[Symbol.asyncDispose]();
  }
}
