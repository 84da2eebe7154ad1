import type { CallOptions, Store } from '@gantry/transport';
import type { CommittedManifest } from '../exports/manifest.ts';
import type {
  DumpOptions,
  DumpWriter,
  ExportHeader,
  ManifestDraft,
  StoreExportWriter,
  StoreSink,
  StoreSinkOptions,
} from '../exports/store-sink.ts';
import { isOfStore } from '../exports/store-errors.ts';
import { storeSink } from '../exports/store-sink.ts';
import type { WrittenDump } from '../exports/layout-dump.ts';
import type { EncodedDump } from '../frames/encode-dump.ts';
import type { NativeFile } from '../instances/inventory.ts';
import type { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';
import { fanOut, Occurrence, QueuedStream } from './fan-out.ts';
import type { BranchOptions } from './tee-branch.ts';
import { TeeBranch } from './tee-branch.ts';

/** How many stored bytes may wait for one store while others go on. */
export const DEFAULT_STORE_BUFFER_BYTES: number = 128 * 1024 ** 2;

/** What claims an export. */
export interface Opening {
  /** In which parents are looked for. */
  readonly store: Store;
  /** Into all stores. */
  readonly sink: StoreSink;
  /** Checks that the others have the parents, too. Those that lack something do not get the export. */
  readonly others?: (check: (store: Store) => Promise<void>) => Promise<void>;
}

/** Where an export goes: one store, or several. */
export interface ExportTarget {
  /** Of all of them, for people. */
  readonly address: string;
  /** Claims the export: in the first store in which that can be done, and then in the others under the same id. */
  open<T>(open: (opening: Opening) => Promise<T>): Promise<T>;
  /** Does something in each store that is left. What fails in one of several is that store's own failure. @returns what came of it */
  each<T>(work: (store: Store) => Promise<T>): Promise<readonly T[]>;
}

/** One store alone: its failures are those of the export. */
export function oneStore(store: Store, options: StoreSinkOptions): ExportTarget {
  return {
    address: store.address,
    open: async (open) => await open({ store, sink: storeSink(store, options) }),
    each: async (work) => [await work(store)],
  };
}

export interface TeeOptions extends Pick<StoreSinkOptions, 'createStore' | 'keepPacks' | 'sealing' | 'sign'> {
  /** How many stored bytes may wait for one store while others go on. */
  readonly bufferBytes: number;
  /** Called when the export is given up in one of them. */
  readonly onGivenUp?: ((store: Store, failure: GantryError) => void) | undefined;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/**
 * Several stores that get an export in one reading of its disks: the same bytes under the same id, each at its own pace. In a store that
 * fails, or that is too slow for the others (see {@link fanOut}), the export is given up; it goes on while one is left.
 */
export class Tee implements ExportTarget {
  readonly branches: readonly TeeBranch[];
  readonly #options: TeeOptions;
  readonly #changed = new Occurrence();

  constructor(stores: readonly Store[], options: TeeOptions) {
    const { bufferBytes, onGivenUp, reporter } = options;
    const branchOptions = (store: Store): BranchOptions => ({
      bufferBytes,
      changed: this.#changed,
      onFailure: (failure) => {
        reporter.warn(`the export was given up in one of the stores: ${failure.message} [${failure.code}]`);
        onGivenUp?.(store, failure);
      },
    });
    this.branches = stores.map((store) => new TeeBranch(store, branchOptions(store)));
    this.#options = options;
  }

  get address(): string {
    return this.#live()
      .map(({ store }) => store.address)
      .join(' and ');
  }

  async open<T>(open: (opening: Opening) => Promise<T>): Promise<T> {
    const { signal } = this.#options;
    for (;;) {
      const [first, ...others] = this.#live();
      if (first === undefined) throw this.#failure();
      try {
        return await open({
          store: first.store,
          sink: this.#sink(first, others),
          others: async (check) => void (await this.#attemptIn(others, ({ store }) => check(store), signal)),
        });
      } catch (error) {
        signal.throwIfAborted();
        if (!isOfStore(error)) throw error;
        first.fail(error);
        await first.drop();
      }
    }
  }

  async each<T>(work: (store: Store) => Promise<T>): Promise<readonly T[]> {
    const { signal } = this.#options;
    const found: T[] = [];
    // One after the other: what a killed run left has the same name in each, and is locked by that name while it is cleared.
    for (const branch of this.#live()) found.push(...(await this.#attemptIn([branch], ({ store }) => work(store), signal)));
    if (this.#live().length > 0) return found;
    signal.throwIfAborted();
    throw this.#failure();
  }

  #live(): readonly TeeBranch[] {
    return this.branches.filter(({ isLive }) => isLive);
  }

  /** Of the first store: an export that is complete nowhere failed. */
  #failure(): unknown {
    return this.branches.find(({ failure }) => failure !== undefined)?.failure ?? new TypeError('an export without stores');
  }

  /**
   * What fails in one of several stores is its own failure.
   *
   * @returns what came of the others
   * @throws the signal's reason if it ended the work in one of them
   */
  async #attemptIn<T>(
    branches: readonly TeeBranch[],
    work: (branch: TeeBranch, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<readonly T[]> {
    const tried = branches.map(async (branch) => {
      const done = await branch.attempt((both) => work(branch, both), { signal });
      if (done === undefined && branch.isLive) signal.throwIfAborted();
      return done === undefined ? [] : [done.value];
    });
    const settled = await Promise.allSettled(tried);
    return settled.flatMap((each) => {
      if (each.status === 'rejected') throw each.reason;
      return each.value;
    });
  }

  /** Waits for the first of several stores; the others go on. @throws the failure of the first store if all failed; the signal's reason */
  async #first<T>(tried: readonly Promise<T>[], signal: AbortSignal): Promise<T> {
    try {
      return await Promise.any(tried);
    } catch {
      signal.throwIfAborted();
      throw this.#failure();
    }
  }

  /** Claims an export in all stores; the id is the one that it gets in the first. */
  #sink(first: TeeBranch, others: readonly TeeBranch[]): StoreSink {
    const { signal, reporter, createStore, keepPacks, sealing, sign } = this.#options;
    const sinkOf = ({ store }: TeeBranch): StoreSink =>
      storeSink(store, { warn: (message) => reporter.warn(message), createStore, keepPacks, sealing, sign });
    return {
      address: first.store.address,
      open: async (header, options) => {
        const claimed = await sinkOf(first).open(header, options);
        first.begin(claimed);
        await using held = new AsyncDisposableStack();
        const writer = held.use(new TeeWriter(this, claimed));
        const same: ExportHeader = { ...header, id: writer.id };
        await this.#attemptIn(others, async (branch, both) => branch.begin(await sinkOf(branch).open(same, { signal: both })), signal);
        held.move();
        return writer;
      },
    };
  }

  /** Writes something of the export into each store that is left. Resolves when one has it: a store that hangs does not hold up the others. */
  async write(
    work: (writer: StoreExportWriter, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal = this.#options.signal,
  ): Promise<void> {
    const tried = this.#live().map(async (branch) =>
      valueOf(branch, await branch.attempt((both) => work(branch.writer, both), { signal })),
    );
    await this.#first(tried, signal);
  }

  /** @returns the dump in one of the stores: it is the same in all */
  async writeDump(
    name: string,
    options: Omit<DumpOptions, 'signal'>,
    dump: EncodedDump,
    signal: AbortSignal = this.#options.signal,
  ): Promise<WrittenDump> {
    let failed: { readonly error: unknown } | undefined;
    const isOurs = (): boolean => signal.aborted || failed !== undefined;
    const streams = this.#live().map((branch) => [branch, new QueuedStream(branch.backlog)] as const);
    if (streams.length === 0) throw this.#failure();
    const written = streams.map(async ([branch, stream]) => {
      const stored = { stored: stream, summary: () => dump.summary(), table: () => dump.table(), map: () => dump.map() };
      const copy: EncodedDump = { ...stored, failure: () => dump.failure?.() };
      const write = async (both: AbortSignal): Promise<WrittenDump> => {
        await using writer = await branch.writer.dump(name, { ...options, signal: both });
        return await writer.write(copy, { signal: both });
      };
      const done = await branch.attempt(write, { signal, isOurs });
      stream.close();
      return valueOf(branch, done);
    });
    const ended = Promise.allSettled(written);
    try {
      const isComplete = await fanOut(dump.stored, { streams, changed: this.#changed, signal });
      failed = isComplete ? dump.failure?.() : undefined;
      for (const [, stream] of streams) stream.end();
    } catch (error) {
      failed = { error };
      for (const [, stream] of streams) stream.fail(error);
    }
    if (failed !== undefined) {
      await ended;
      throw failed.error;
    }
    // The others take what is left in their buffers while the next disk is read.
    return await this.#first(written, signal);
  }

  /**
   * Makes the export complete in each store that is left: there as soon as it has everything, without waiting for the others. Resolves when none is
   * under way. Once the export is complete in one, a signal does not fail it: the others have failed then.
   *
   * @throws the failure of the first store, or the signal's reason, if it is complete nowhere
   */
  async commit(draft: ManifestDraft, signal: AbortSignal = this.#options.signal): Promise<CommittedManifest> {
    await Promise.allSettled(this.#live().map((branch) => branch.commit(draft, signal)));
    const { committed } = this.branches.find((branch) => branch.committed !== undefined) ?? {};
    if (committed === undefined) {
      signal.throwIfAborted();
      throw this.#failure();
    }
    for (const branch of this.#live()) if (branch.committed === undefined) branch.fail(signal.reason);
    return committed;
  }

  /** Removes what was written, where the export is not complete. */
  async drop(): Promise<void> {
    await Promise.all(this.branches.map((branch) => branch.drop()));
  }
}

/** @throws if it came to nothing */
function valueOf<T>({ failure }: TeeBranch, done: { readonly value: T } | undefined): T {
  if (done === undefined) throw failure ?? new Error('the export is given up');
  return done.value;
}

class TeeWriter implements StoreExportWriter {
  readonly id: string;
  readonly reference: string;
  readonly #tee: Tee;

  constructor(tee: Tee, { id, reference }: StoreExportWriter) {
    this.#tee = tee;
    this.id = id;
    this.reference = reference;
  }

  async dump(name: string, { signal, ...options }: DumpOptions = {}): Promise<DumpWriter> {
    return {
      write: async (dump, call) => await this.#tee.writeDump(name, options, dump, call?.signal ?? signal),
      assemble: () => Promise.reject(new TypeError('a dump for several stores is not put together from what one of them has')),
      // Each store has its own.
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  async native(file: NativeFile, { signal }: CallOptions = {}): Promise<void> {
    await this.#tee.write((writer, both) => writer.native(file, { signal: both }), signal);
  }

  async commit(draft: ManifestDraft, { signal }: CallOptions = {}): Promise<CommittedManifest> {
    return await this.#tee.commit(draft, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tee.drop();
  }
}
