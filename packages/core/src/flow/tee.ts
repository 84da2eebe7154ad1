import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError, orAbort } from '@gantry/transport';
import type { Manifest } from '../exports/manifest.ts';
import type {
  DumpOptions,
  DumpWriter,
  ExportHeader,
  ManifestDraft,
  StoreExportWriter,
  StoreSink,
  StoreSinkOptions,
} from '../exports/store-sink.ts';
import { storeSink } from '../exports/store-sink.ts';
import type { WrittenDump } from '../exports/layout-dump.ts';
import type { EncodedDump } from '../frames/encode-dump.ts';
import type { NativeFile } from '../instances/inventory.ts';
import { GantryError } from '../report/errors.ts';
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

export interface TeeOptions extends Pick<StoreSinkOptions, 'createStore' | 'keepPacks'> {
  /** How many stored bytes may wait for one store while others go on. */
  readonly bufferBytes: number;
  /** Called when the export is given up in one of them. */
  readonly onGivenUp?: ((store: Store, failure: GantryError) => void) | undefined;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** What was done in some of the stores. */
type Done<T> = readonly (readonly [TeeBranch, T])[];

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
    for (const branch of this.#live())
      for (const [, value] of await this.#attemptIn([branch], ({ store }) => work(store), signal)) found.push(value);
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

  /** What fails in one of several stores is its own failure. @returns what came of the others */
  async #attemptIn<T>(branches: readonly TeeBranch[], work: (branch: TeeBranch) => Promise<T>, signal: AbortSignal): Promise<Done<T>> {
    const tried = branches.map(async (branch) => {
      const done = await branch.attempt(
        () => work(branch),
        () => signal.aborted,
      );
      return done === undefined ? [] : [[branch, done.value] as const];
    });
    return (await Promise.all(tried)).flat();
  }

  /** @throws the failure of the first store if none is left; the signal's reason */
  async #attemptAll<T>(work: (branch: TeeBranch) => Promise<T>, signal: AbortSignal = this.#options.signal): Promise<Done<T>> {
    const done = await this.#attemptIn(this.#live(), work, signal);
    if (done.length > 0) return done;
    signal.throwIfAborted();
    throw this.#failure();
  }

  /** Claims an export in all stores; the id is the one that it gets in the first. */
  #sink(first: TeeBranch, others: readonly TeeBranch[]): StoreSink {
    const { signal, reporter, createStore, keepPacks } = this.#options;
    const sinkOf = ({ store }: TeeBranch): StoreSink =>
      storeSink(store, { warn: (message) => reporter.warn(message), createStore, keepPacks });
    return {
      address: first.store.address,
      open: async (header, options) => {
        const writer = await sinkOf(first).open(header, options);
        first.begin(writer);
        const same: ExportHeader = { ...header, id: writer.id };
        await this.#attemptIn(others, async (branch) => branch.begin(await sinkOf(branch).open(same, options)), signal);
        return new TeeWriter(this, writer);
      },
    };
  }

  /** Does something for the export in each store that is left. */
  async inEach<T>(work: (writer: StoreExportWriter) => Promise<T>, { signal }: CallOptions = {}): Promise<Done<T>> {
    return await this.#attemptAll(({ writer }) => work(writer), signal);
  }

  /** @returns the dump in one of the stores: it is the same in all */
  async writeDump(dumps: Done<DumpWriter>, dump: EncodedDump, signal: AbortSignal): Promise<WrittenDump> {
    let failed: { readonly error: unknown } | undefined;
    const isOurs = (): boolean => signal.aborted || failed !== undefined;
    const streams = dumps.map(([branch]) => [branch, new QueuedStream(branch.backlog)] as const);
    const written = streams.map(async ([branch, stream], place) => {
      const stored = { stored: stream, summary: () => dump.summary(), table: () => dump.table(), map: () => dump.map() };
      const copy: EncodedDump = { ...stored, failure: () => dump.failure?.() };
      const options = { signal: AbortSignal.any([signal, branch.signal]) };
      const done = await branch.attempt(async () => await dumps[place]?.[1].write(copy, options), isOurs);
      stream.close();
      if (done?.value === undefined) throw branch.failure ?? new Error('the export is given up');
      return done.value;
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
    return await firstOf(written, signal);
  }

  /** Resolves when all dumps are complete in the stores that are left. @throws the signal's reason */
  async settled({ signal }: CallOptions = {}): Promise<void> {
    await orAbort(Promise.all(this.#live().map((branch) => branch.quiet())), signal);
  }

  /** Removes what was written, where the export is not complete. */
  async drop(): Promise<void> {
    await Promise.all(this.branches.map((branch) => branch.drop()));
  }
}

async function firstOf<T>(promises: readonly Promise<T>[], signal: AbortSignal): Promise<T> {
  try {
    return await Promise.any(promises);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AggregateError ? error.errors[0] : error;
  }
}

/** Whether another store may do better. */
function isOfStore(error: unknown): boolean {
  return isStoreError(error) || (error instanceof GantryError && error.code.startsWith('STORE_'));
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
    const dumps = await this.#tee.inEach((writer) => writer.dump(name, { ...options, signal }), { signal });
    return {
      write: async (dump, call) => await this.#tee.writeDump(dumps, dump, call?.signal ?? new AbortController().signal),
      assemble: () => Promise.reject(new TypeError('a dump for several stores is not put together from what one of them has')),
      // Each store has its own, which ends with the export there.
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  async native(file: NativeFile, options?: CallOptions): Promise<void> {
    await this.#tee.inEach((writer) => writer.native(file, options), options);
  }

  async commit(draft: ManifestDraft, options?: CallOptions): Promise<Manifest> {
    await this.#tee.settled(options);
    const [committed] = await this.#tee.inEach((writer) => writer.commit(draft, options), options);
    if (committed === undefined) throw new TypeError('an export that was committed nowhere');
    return committed[1];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tee.drop();
  }
}
