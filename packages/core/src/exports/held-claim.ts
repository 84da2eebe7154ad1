import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError, StoreError } from '@gantry/transport';
import { errorText } from '../report/error-text.ts';
import type { Claim } from './claim.ts';
import { readClaimText, removeClaim } from './claim.ts';
import { isRetired } from './directories.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { CLAIM_FILE, MANIFEST_FILE } from './layout.ts';
import { namesBelow } from './names-below.ts';
import { withdrawExport } from './remove-export.ts';
import { removeFiles } from './remove-files.ts';
import { writeText } from './small-object.ts';
import { allowWriteOnly } from './write-only.ts';

/** Cleaning up has a time of its own, since it must run although the operation was ended. */
const CLEANUP_MS = 60_000;
/** For what says that cleaning up did not come to its end, which may be because that took too long. */
const CLAIM_AGAIN_MS = 10_000;

/** What is said if somebody else interferes. */
export interface InterferenceTexts {
  /** What goes on meanwhile, such as `the export was made`. */
  readonly meanwhile: string;
  readonly hint: string;
  /** Who has taken the place, such as `another export`. */
  readonly other: string;
}

/** The place of an export that this run has claimed: how it becomes visible, and how it is given up. */
export class HeldClaim {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  /** Of the keys of all its objects. */
  readonly prefix: string;
  /** Called with what the user should know. */
  readonly warn: (message: string) => void;
  readonly #store: Store;
  readonly #instance: string;
  readonly #claim: Claim;
  readonly #texts: InterferenceTexts;
  /** Whether the manifest may have been seen: from then on, others may refer to the dumps of this export. */
  #mayBeSeen = false;

  /** @param warn called with what could not be removed */
  constructor(store: Store, instance: string, claim: Claim, warn: (message: string) => void, texts: InterferenceTexts) {
    this.reference = formatExportReference(instance, claim.id);
    this.prefix = exportPrefix(instance, claim.id);
    this.#store = store;
    this.#instance = instance;
    this.#claim = claim;
    this.warn = warn;
    this.#texts = texts;
  }

  get id(): string {
    return this.#claim.id;
  }

  get text(): string {
    return this.#claim.text;
  }

  /** Whether nothing else was seen there; false if this user may not look. */
  get alone(): boolean {
    return this.#claim.alone;
  }

  /** How the objects of this export are written. */
  get ifExists(): 'fail' | 'replace' {
    return this.#store.capabilities.createOnly ? 'fail' : 'replace';
  }

  /**
   * Makes the export visible.
   *
   * @param assertStillThere somebody may have taken this export for a dead one and cleared it: then no manifest may say that it is complete
   * @throws StoreError `integrity` if somebody else has changed it, and what the two calls throw
   */
  async show(assertStillThere: () => Promise<void>, writeManifest: () => Promise<void>, options: CallOptions): Promise<void> {
    await allowWriteOnly(this.#store, undefined, async () => {
      await this.#assertHeld(options);
      await assertStillThere();
    });
    this.#mayBeSeen = true;
    await writeManifest();
    // One who clears this export takes the claim first, and then looks for a manifest: one of the two sees the other.
    await allowWriteOnly(this.#store, undefined, () => this.#assertHeld(options));
  }

  /** The export is complete. Never rejects. */
  async release(): Promise<void> {
    await this.#cleanUp(`remove the claim of ${this.reference}, which is complete,`, (signal) =>
      removeClaim(this.#store, this.prefix, this.#claim.text, { signal }),
    );
  }

  /**
   * The export is given up. What others may have seen is withdrawn; else `removeRest` removes what was written, and then the claim goes: what
   * cannot be removed stays marked as unfinished, also where somebody took the claim away. Never rejects.
   *
   * @param removeRest gets the text of the claim that is there
   * @param first what is this run's own, also if another has taken its place
   */
  async giveUp(
    removeRest: (claimed: string | undefined, signal: AbortSignal) => Promise<void>,
    first: (signal: AbortSignal) => Promise<void> = async () => undefined,
  ): Promise<void> {
    await this.#cleanUp(`remove what was written of ${this.reference}`, async (signal) => {
      try {
        await first(signal);
        await this.#giveUpPlace(removeRest, signal);
      } catch (error) {
        // Where the store cannot be reached, nor can a claim be written.
        if (signal.aborted || (isStoreError(error) && !isStoreError(error, 'unavailable'))) await this.#claimAgain();
        throw error;
      }
    });
  }

  async #giveUpPlace(removeRest: (claimed: string | undefined, signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    const claimed = await readClaimText(this.#store, this.prefix, { signal });
    if (claimed !== undefined && claimed !== this.#claim.text) throw new Error(`${this.#texts.other} has taken its place`);
    if (this.#mayBeSeen && this.#claim.alone) {
      await withdrawExport(this.#store, { instance: this.#instance, id: this.id }, { signal });
      return;
    }
    await removeRest(claimed, signal);
    // Where it was taken away, one that is there by now is another run's.
    if (claimed !== undefined) await removeClaim(this.#store, this.prefix, this.#claim.text, { signal });
  }

  /** Removes files of it. @throws StoreError */
  async remove(names: readonly string[], signal: AbortSignal): Promise<void> {
    await removeFiles(this.#store, { instance: this.#instance, id: this.id }, names, { signal });
  }

  /** The error for a file that is not as this run wrote it. */
  changedByOther(name: string): StoreError {
    return new StoreError('integrity', {
      key: `${this.prefix}${name}`,
      message: `${name} of ${this.reference} was removed or changed by somebody else while ${this.#texts.meanwhile}`,
      hint: this.#texts.hint,
    });
  }

  /**
   * If somebody took the claim away, and what was written since cannot be removed, or not in time: without a claim, it would look like a
   * damaged export, which no clean removes. Where a write may replace another claim, or this user may not look, nothing is written. Never
   * rejects: why the rest could not be removed is what is said.
   */
  async #claimAgain(): Promise<void> {
    if (!this.#store.capabilities.createOnly) return;
    const signal = AbortSignal.timeout(CLAIM_AGAIN_MS);
    try {
      const files = await namesBelow(this.#store, this.prefix, { signal });
      if (files.size === 0 || isRetired(files) || [CLAIM_FILE, MANIFEST_FILE].some((name) => files.has(name))) return;
      await writeText(this.#store, `${this.prefix}${CLAIM_FILE}`, this.#claim.text, { signal, ifExists: 'fail' });
    } catch {
      // It stays as it is, and is listed as damaged.
    }
  }

  async #assertHeld(options: CallOptions): Promise<void> {
    if ((await readClaimText(this.#store, this.prefix, options)) !== this.#claim.text) throw this.changedByOther(CLAIM_FILE);
  }

  /** Says what could not be done instead of failing. */
  async #cleanUp(what: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await work(AbortSignal.timeout(CLEANUP_MS));
    } catch (error) {
      this.warn(`could not ${what} in ${this.#store.address}: ${errorText(error)}`);
    }
  }
}
