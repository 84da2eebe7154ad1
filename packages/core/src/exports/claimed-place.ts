import type { CallOptions, Digest, PendingObject, Store } from '@gantry/transport';
import { StoreError, isStoreError } from '@gantry/transport';
import { errorText } from '../report/error-text.ts';
import type { Claim } from './claim.ts';
import { readClaimText, removeClaim } from './claim.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { CLAIM_FILE, MANIFEST_FILE } from './layout.ts';
import { withdrawExport } from './remove-export.ts';
import { writeText } from './small-object.ts';
import { allowWriteOnly } from './write-only.ts';

/** Cleaning up has a time of its own, since it must run although the operation was ended. */
const CLEANUP_MS = 60_000;

export interface ClaimedPlaceOptions {
  readonly instance: string;
  readonly claim: Claim;
  /** Objects that a dead run completed here: their sizes by their names. */
  readonly arrived?: ReadonlyMap<string, number> | undefined;
  /** Unfinished writes of a dead run that can be continued: their tokens by the names of their objects. */
  readonly unfinished?: ReadonlyMap<string, string> | undefined;
  /** Called with what could not be removed. */
  readonly warn: (message: string) => void;
}

/**
 * The directory of an export that this run has claimed, for a copy whose objects are known in advance. It becomes an export with its
 * manifest; disposing it before that removes what is in it, unless it is to be kept for the next run.
 */
export class ClaimedPlace implements AsyncDisposable {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly #store: Store;
  readonly #instance: string;
  readonly #prefix: string;
  readonly #claim: Claim;
  readonly #warn: (message: string) => void;
  readonly #unfinished: Map<string, string>;
  /** Complete objects: their sizes by their names. */
  readonly #complete: Map<string, number>;
  /** The names of objects that may be there. */
  readonly #started: Set<string>;
  /** Whether the manifest may have been seen: from then on, others may refer to the dumps of this export. */
  #mayBeSeen = false;
  #state: 'open' | 'kept' | 'committed' | 'ended' = 'open';

  constructor(store: Store, { instance, claim, arrived, unfinished, warn }: ClaimedPlaceOptions) {
    this.reference = formatExportReference(instance, claim.id);
    this.#store = store;
    this.#instance = instance;
    this.#prefix = exportPrefix(instance, claim.id);
    this.#claim = claim;
    this.#warn = warn;
    this.#unfinished = new Map(unfinished);
    this.#complete = new Map(arrived);
    this.#started = new Set(this.#complete.keys());
  }

  /** Whether an object of that size is complete here. */
  has(name: string, size: number): boolean {
    return this.#complete.get(name) === size;
  }

  /** Starts an object, or continues what a dead run wrote of it: then the write has `durableBytes`. @throws StoreError */
  async begin(name: string, expectedBytes: number, options: CallOptions): Promise<PendingObject> {
    this.#started.add(name);
    const key = `${this.#prefix}${name}`;
    if (this.#complete.delete(name)) await this.#store.remove([key], options);
    const token = this.#unfinished.get(name);
    this.#unfinished.delete(name);
    const resumed = token === undefined ? undefined : await this.#resume(token, options);
    return resumed ?? (await this.#store.begin(key, { ...options, ifExists: this.#ifExists, expectedBytes }));
  }

  /** Completes an object. @throws StoreError `integrity` */
  async finish(name: string, pending: PendingObject, digest: Digest, options: CallOptions): Promise<void> {
    await pending.commit(digest, options);
    this.#complete.set(name, digest.size);
  }

  /** Writes a small object. @throws StoreError */
  async write(name: string, text: string, options: CallOptions): Promise<void> {
    this.#started.add(name);
    // A dead run may have written another one, of another version.
    if (this.#complete.delete(name)) await this.#store.remove([`${this.#prefix}${name}`], options);
    await writeText(this.#store, `${this.#prefix}${name}`, text, { ...options, ifExists: this.#ifExists });
    this.#complete.set(name, Buffer.byteLength(text));
  }

  /** All objects are complete: makes the export visible. @throws StoreError `integrity` if somebody else has changed it */
  async commit(manifest: string, options: CallOptions): Promise<void> {
    await allowWriteOnly(this.#store, undefined, () => this.#assertStillThere(options));
    this.#mayBeSeen = true;
    await this.write(MANIFEST_FILE, manifest, options);
    // One who clears this export takes the claim first, and then looks for a manifest: one of the two sees the other.
    await allowWriteOnly(this.#store, undefined, () => this.#assertClaimed(options));
    this.#state = 'committed';
    await this.#cleanUp(`remove the claim of ${this.reference}, which is complete,`, (signal) =>
      removeClaim(this.#store, this.#prefix, this.#claim.text, { signal }),
    );
  }

  /** Leaves everything where it is when this is disposed: a later run continues. */
  keep(): void {
    if (this.#state === 'open') this.#state = 'kept';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'ended';
    await this.#cleanUp(`remove what was written of ${this.reference}`, async (signal) => {
      await this.#store.clear([...this.#unfinished.values()], {
        signal,
        keys: [...this.#unfinished.keys()].map((name) => `${this.#prefix}${name}`),
      });
      const claimed = await readClaimText(this.#store, this.#prefix, { signal });
      if (claimed !== undefined && claimed !== this.#claim.text) throw new Error('another run has taken its place');
      if (this.#mayBeSeen && this.#claim.alone) {
        await withdrawExport(this.#store, { instance: this.#instance, id: this.#claim.id }, { signal });
        return;
      }
      // The claim goes last: what cannot be removed stays marked as unfinished.
      const names = this.#claim.alone ? [...this.#started] : [...this.#complete.keys()];
      await this.#store.remove(
        names.map((name) => `${this.#prefix}${name}`),
        { signal },
      );
      await this.#store.remove([`${this.#prefix}${CLAIM_FILE}`], { signal });
    });
  }

  get #ifExists(): 'fail' | 'replace' {
    return this.#store.capabilities.createOnly ? 'fail' : 'replace';
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

  /** Somebody may have taken this copy for a dead one and cleared it: then no manifest may say that it is complete. */
  async #assertStillThere(options: CallOptions): Promise<void> {
    await this.#assertClaimed(options);
    const sizes = new Map<string, number>();
    for await (const { key, size } of this.#store.list(this.#prefix, options)) sizes.set(key.slice(this.#prefix.length), size);
    const gone = [...this.#complete].find(([name, size]) => sizes.get(name) !== size);
    if (gone !== undefined) throw this.#changedByOther(gone[0]);
  }

  async #assertClaimed(options: CallOptions): Promise<void> {
    if ((await readClaimText(this.#store, this.#prefix, options)) !== this.#claim.text) throw this.#changedByOther(CLAIM_FILE);
  }

  #changedByOther(name: string): StoreError {
    return new StoreError('integrity', {
      key: `${this.#prefix}${name}`,
      message: `${name} of ${this.reference} was removed or changed by somebody else while the export was copied`,
      hint: 'Copy it again; gantry clean must not remove exports that are still written by another host.',
    });
  }

  /** Says what could not be done instead of failing. */
  async #cleanUp(what: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await work(AbortSignal.timeout(CLEANUP_MS));
    } catch (error) {
      this.#warn(`could not ${what} in ${this.#store.address}: ${errorText(error)}`);
    }
  }
}
