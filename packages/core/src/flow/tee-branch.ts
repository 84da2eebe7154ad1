import type { Store } from '@gantry/transport';
import { orAbort } from '@gantry/transport';
import type { CommittedManifest } from '../exports/manifest.ts';
import type { ManifestDraft, StoreExportWriter } from '../exports/store-sink.ts';
import { asStoreFailure } from '../exports/store-errors.ts';
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

export interface AttemptOptions {
  readonly signal: AbortSignal;
  /**
   * Whether what happens now is not this store's failure: the operation has ended, or the source failed. Then the operation must not go on
   * to a success that counts this store. By default, whether the signal is aborted.
   */
  readonly isOurs?: (() => boolean) | undefined;
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
  #committed: CommittedManifest | undefined;
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

  /** The export, once it is complete in this store. */
  get committed(): CommittedManifest | undefined {
    return this.#committed;
  }

  /** An export begins, or begins anew: the one before was dropped. */
  begin(writer: StoreExportWriter): void {
    this.#writer = writer;
  }

  /**
   * Does something in this store, and gives the export up there if that fails.
   *
   * @param work gets a signal that is aborted when the export is given up in this store, too
   * @returns undefined if it failed, or was ended by what is not this store's failure
   */
  async attempt<T>(work: (signal: AbortSignal) => Promise<T>, options: AttemptOptions): Promise<{ readonly value: T } | undefined> {
    if (!this.isLive) return undefined;
    const { signal, isOurs = () => signal.aborted } = options;
    // Of the claim under which it begins: what ends with that one does not fail the next.
    const { signal: dropped } = this.#abort;
    const running = (async () => await work(AbortSignal.any([signal, dropped])))();
    const settled = running.then(
      () => undefined,
      () => undefined,
    );
    this.#running.add(settled);
    try {
      return { value: await running };
    } catch (error) {
      if (!isOurs() && !dropped.aborted) this.fail(error);
      return undefined;
    } finally {
      this.#running.delete(settled);
    }
  }

  /** Makes the export complete when nothing runs in this store any more, without waiting for the others. @throws the signal's reason */
  async commit(draft: ManifestDraft, signal: AbortSignal): Promise<void> {
    await orAbort(this.quiet(), signal);
    const done = await this.attempt((both) => this.writer.commit(draft, { signal: both }), { signal });
    this.#committed = done?.value;
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
    this.#failure = asStoreFailure(error, this.store.address);
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
    this.#writer = undefined;
    if (this.isLive) this.#abort = new AbortController();
  }

  async #close(): Promise<void> {
    await this.quiet();
    await this.#writer?.[Symbol.asyncDispose]();
  }
}
