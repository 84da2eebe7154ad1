import type { CallOptions, Digest, PendingObject, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { Claim } from './claim.ts';
import type { ObjectPlace } from './copy-object.ts';
import type { InterferenceTexts } from './held-claim.ts';
import { HeldClaim } from './held-claim.ts';
import { BROUGHT_FILES, MANIFEST_FILE, mayBePack, REMOVED_FILE } from './layout.ts';
import { renderRemoved } from './removed.ts';
import { writeBytes } from './small-object.ts';

const INTERFERENCE: InterferenceTexts = {
  meanwhile: 'the export was copied',
  hint: 'Copy it again; gantry clean must not remove exports that are still written by another host.',
  other: 'another run',
};

export interface ClaimedPlaceOptions {
  readonly instance: string;
  readonly claim: Claim;
  /** Objects that a dead run completed here: their sizes by their names. */
  readonly arrived?: ReadonlyMap<string, number> | undefined;
  /** Unfinished writes of a dead run that can be continued: their tokens by the names of their objects. */
  readonly unfinished?: ReadonlyMap<string, string> | undefined;
  /** Whether packs were there before, beside `removed.json`, to which others may refer: from here, no pack is removed. */
  readonly brought?: boolean | undefined;
  /** Called with what could not be removed. */
  readonly warn: (message: string) => void;
}

/**
 * The directory of an export that this run has claimed, for a copy whose objects are known in advance. It becomes an export with its
 * manifest; disposing it before that removes what is in it, unless it is to be kept for the next run.
 */
export class ClaimedPlace implements ObjectPlace, AsyncDisposable {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly canWait = true;
  readonly #store: Store;
  readonly #claim: HeldClaim;
  readonly #unfinished: Map<string, string>;
  readonly #brought: boolean;
  /** Complete objects: their sizes by their names. */
  readonly #complete: Map<string, number>;
  /** The names of objects of which this run has written all. */
  readonly #written = new Set<string>();
  /** The names of objects that may be there. */
  readonly #started: Set<string>;
  #state: 'open' | 'kept' | 'committed' | 'ended' = 'open';

  constructor(store: Store, { instance, claim, arrived, unfinished, brought = false, warn }: ClaimedPlaceOptions) {
    this.#store = store;
    this.#claim = new HeldClaim(store, instance, claim, warn, INTERFERENCE);
    this.reference = this.#claim.reference;
    this.#unfinished = new Map(unfinished);
    this.#brought = brought;
    this.#complete = new Map(arrived);
    this.#started = new Set(this.#complete.keys());
  }

  has(name: string, size: number): boolean {
    return this.#complete.get(name) === size;
  }

  /** Objects are there that another copy brought, and that were compared: they are not sent again. @param sizes by their names */
  adopt(sizes: ReadonlyMap<string, number>): void {
    for (const [name, size] of sizes) this.#complete.set(name, size);
  }

  /** The keys of complete objects that were there before this run, or began then: a lock that they have ends earlier. */
  earlier(): readonly string[] {
    return [...this.#complete.keys()].filter((name) => !this.#written.has(name)).map((name) => `${this.#claim.prefix}${name}`);
  }

  async begin(name: string, expectedBytes: number, options: CallOptions): Promise<PendingObject> {
    this.#started.add(name);
    const key = `${this.#claim.prefix}${name}`;
    if (this.#complete.delete(name)) await this.#store.remove([key], options);
    const token = this.#unfinished.get(name);
    this.#unfinished.delete(name);
    const resumed = token === undefined ? undefined : await this.#resume(token, options);
    if (resumed !== undefined) return resumed;
    this.#written.add(name);
    return await this.#store.begin(key, { ...options, ifExists: this.#claim.ifExists, expectedBytes });
  }

  async finish(name: string, pending: PendingObject, digest: Digest, options: CallOptions): Promise<void> {
    await pending.commit(digest, options);
    this.#complete.set(name, digest.size);
  }

  /** Writes a small object. @throws StoreError */
  async write(name: string, content: string | Uint8Array, options: CallOptions): Promise<void> {
    const bytes = Buffer.from(content);
    this.#started.add(name);
    // A dead run may have written another one, of another version.
    if (this.#complete.delete(name)) await this.#store.remove([`${this.#claim.prefix}${name}`], options);
    this.#written.add(name);
    await writeBytes(this.#store, `${this.#claim.prefix}${name}`, bytes, { ...options, ifExists: this.#claim.ifExists });
    this.#complete.set(name, bytes.length);
  }

  /** Removes what a dead run completed here, and is not part of the export any more. @throws StoreError */
  async forget(isStale: (name: string) => boolean, options: CallOptions): Promise<void> {
    const stale = [...this.#complete.keys()].filter(isStale);
    if (stale.length === 0) return;
    for (const name of stale) this.#complete.delete(name);
    await this.#store.remove(
      stale.map((name) => `${this.#claim.prefix}${name}`),
      options,
    );
  }

  /** All objects are complete: makes the export visible. @throws StoreError `integrity` if somebody else has changed it */
  commit(manifest: string, options: CallOptions): Promise<void> {
    return this.#show(MANIFEST_FILE, manifest, options);
  }

  /**
   * All objects are packs, and complete: makes the place that of an export that was removed, whose packs are kept for others.
   *
   * @throws StoreError as {@link commit}
   */
  commitRemoved(runId: string, options: CallOptions): Promise<void> {
    return this.#show(REMOVED_FILE, renderRemoved(runId), options);
  }

  async #show(name: string, text: string, options: CallOptions): Promise<void> {
    const write = (): Promise<void> => this.write(name, text, options);
    await this.#claim.show(() => this.#assertStillThere(options), write, options);
    this.#state = 'committed';
    // From now on it is as any other export.
    if (this.#brought)
      await this.#store.remove(
        BROUGHT_FILES.map((each) => `${this.#claim.prefix}${each}`),
        options,
      );
    await this.#claim.release();
  }

  /** Leaves everything where it is when this is disposed: a later run continues. */
  keep(): void {
    if (this.#state === 'open') this.#state = 'kept';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    const clear = (signal: AbortSignal): Promise<void> =>
      this.#store.clear([...this.#unfinished.values()], {
        signal,
        keys: [...this.#unfinished.keys()].map((name) => `${this.#claim.prefix}${name}`),
      });
    await this.#claim.giveUp((claimed, signal) => this.#removeRest(claimed, signal), clear);
  }

  async #removeRest(claimed: string | undefined, signal: AbortSignal): Promise<void> {
    if (!this.#brought) return await this.#claim.remove(this.#claim.alone ? [...this.#started] : [...this.#complete.keys()], signal);
    if (claimed === undefined) throw new Error('its claim was removed');
    // Others may have seen it, or its packs: these go with a prune, once nothing refers to them.
    if (this.#started.has(MANIFEST_FILE)) await this.#claim.remove([MANIFEST_FILE], signal);
    await this.#claim.remove(
      [...this.#started].filter((name) => !mayBePack(name)),
      signal,
    );
  }

  /** Undefined if the write is not there any more. */
  async #resume(token: string, options: CallOptions): Promise<PendingObject | undefined> {
    try {
      return await this.#store.resume(token, options);
    } catch (error) {
      if (isStoreError(error, 'not-found') || isStoreError(error, 'unsupported')) return undefined;
      throw error;
    }
  }

  async #assertStillThere(options: CallOptions): Promise<void> {
    const sizes = new Map<string, number>();
    for await (const { key, size } of this.#store.list(this.#claim.prefix, options)) sizes.set(key.slice(this.#claim.prefix.length), size);
    const gone = [...this.#complete].find(([name, size]) => sizes.get(name) !== size);
    if (gone !== undefined) throw this.#claim.changedByOther(gone[0]);
  }
}
