import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallOptions, ObjectInfo, Store } from '@gantry/transport';
import { isStoreError, thisProcess } from '@gantry/transport';
import { openStateDirectory, stateDirectoryPath, unusable } from '../runs/state-directory.ts';
import { makeDirectoryDurably, replaceFile } from '../system/durable.ts';
import { isReferencePart } from './export-id.ts';
import { VERIFIED_PREFIX } from './layout.ts';
import { readText, UnreadableTextError, writeText } from './small-object.ts';
import { isMarkedStore } from './store-marker.ts';
import type { ExportVerifications, InstanceVerifications, RememberedDepth, Verification } from './verification.ts';
import { MAX_VERIFICATIONS_BYTES, mergeVerifications, parseVerifications, renderVerifications } from './verification.ts';

/** How many hosts' records of one instance are read, the latest first: each has what its host knew of all the others. */
const MAX_RECORDS = 20;

const SUFFIX = '.json';

/** Where verifications are remembered: in the store, or on this machine where the store cannot be written. */
export type VerificationPlace = 'store' | 'state directory';

/**
 * What verifications of a store found. In the store, each host has an object of its own for each instance, which it replaces: so hosts
 * never wait for each other, and nothing needs to be removed.
 */
export class VerificationRecords {
  readonly #store: Store;
  readonly #stateDirectory: string | undefined;
  readonly #instancesAtOnce: boolean;
  readonly #known = new Map<string, Promise<InstanceVerifications>>();
  readonly #changed = new Set<string>();
  #listing: Promise<ReadonlyMap<string, readonly ObjectInfo[]>> | undefined;
  #place: VerificationPlace | undefined;

  /** @param stateDirectory as an operation gets it @param options for a few instances, `instancesAtOnce: false` lists only theirs */
  constructor(store: Store, stateDirectory: string | undefined, { instancesAtOnce = true }: { readonly instancesAtOnce?: boolean } = {}) {
    this.#store = store;
    this.#stateDirectory = stateDirectory;
    this.#instancesAtOnce = instancesAtOnce;
  }

  /** What is known of the exports of an instance. @throws StoreError; the reason of the signal */
  of(instance: string, options: CallOptions = {}): Promise<InstanceVerifications> {
    const known = this.#known.get(instance) ?? this.#read(instance, options);
    this.#known.set(instance, known);
    return known;
  }

  /** Frees the memory for what was read, where nothing was noted. */
  forget(): void {
    for (const instance of this.#known.keys()) if (!this.#changed.has(instance)) this.#known.delete(instance);
  }

  /** Takes the result of a verification, to be kept by {@link save}. */
  async note(instance: string, exportId: string, depth: RememberedDepth, found: Verification, options: CallOptions = {}): Promise<void> {
    await this.#note(instance, exportId, { [depth]: found }, options);
  }

  /** Takes that a verification could not be made, to be kept by {@link save}: others have their turn first. */
  async noteTried(instance: string, exportId: string, depth: RememberedDepth, options: CallOptions = {}): Promise<void> {
    await this.#note(instance, exportId, { tried: { [depth]: new Date().toISOString() } }, options);
  }

  /** Leaves out what is known of exports that do not exist any more. */
  async keepOnly(instance: string, exportIds: ReadonlySet<string>, options: CallOptions = {}): Promise<void> {
    await this.#change(instance, (before) => new Map([...before].filter(([id]) => exportIds.has(id))), options);
  }

  async #note(instance: string, exportId: string, found: ExportVerifications, options: CallOptions): Promise<void> {
    this.#changed.add(instance);
    await this.#change(instance, (before) => mergeVerifications(before, new Map([[exportId, found]])), options);
  }

  /** Changes follow each other, also where several are under way at once. */
  async #change(instance: string, change: (before: InstanceVerifications) => InstanceVerifications, options: CallOptions): Promise<void> {
    const next = this.of(instance, options).then(change);
    this.#known.set(instance, next);
    await next;
  }

  /**
   * Keeps what was noted: in the store, or in the state directory if the store is not marked as one, or refuses.
   *
   * @returns where; undefined if nothing was noted
   * @throws GantryError `STATE_UNUSABLE`; the reason of the signal
   */
  async save(options: CallOptions = {}): Promise<VerificationPlace | undefined> {
    for (const instance of this.#changed) {
      // What is noted while this is written is written again.
      this.#changed.delete(instance);
      await this.#saveOne(instance, renderVerifications(await this.of(instance, options)), options).catch((error: unknown) => {
        this.#changed.add(instance);
        throw error;
      });
    }
    return this.#place;
  }

  async #saveOne(instance: string, text: string, options: CallOptions): Promise<void> {
    if (this.#place !== 'state directory' && (await this.#writeInStore(instance, text, options))) this.#place = 'store';
    else {
      this.#place = 'state directory';
      await writeInState(await this.#openState(), `${instance}${SUFFIX}`, text);
    }
  }

  /** @returns false where the store does not take it */
  async #writeInStore(instance: string, text: string, options: CallOptions): Promise<boolean> {
    try {
      // A directory of Ganeti's exports, for example, gets nothing of ours.
      if (!(await isMarkedStore(this.#store, options))) return false;
      const { host, machine } = await thisProcess();
      const name = createHash('sha256').update(`${host} ${machine}`).digest('hex').slice(0, 16);
      await writeText(this.#store, `${VERIFIED_PREFIX}${instance}/${name}${SUFFIX}`, text, { ...options, ifExists: 'replace' });
      return true;
    } catch (error) {
      if (isStoreError(error)) return false;
      throw error;
    }
  }

  async #openState(): Promise<string> {
    const { path } = await openStateDirectory(this.#stateDirectory);
    const directory = join(path, ...this.#ownNames());
    await makeDirectoryDurably(directory, 0o700).catch((error: unknown) => {
      throw unusable(`cannot create ${directory}`, error);
    });
    return directory;
  }

  #ownNames(): readonly string[] {
    return ['verified', createHash('sha256').update(this.#store.address).digest('hex').slice(0, 16)];
  }

  async #read(instance: string, options: CallOptions): Promise<InstanceVerifications> {
    const local = join(stateDirectoryPath(this.#stateDirectory), ...this.#ownNames(), `${instance}${SUFFIX}`);
    // Both at once, so that a listing that fails first is not a rejection that nobody awaits: that would end the process.
    const [listing, text] = await Promise.all([
      this.#instancesAtOnce
        ? (this.#listing ??= this.#list(VERIFIED_PREFIX, options))
        : this.#list(`${VERIFIED_PREFIX}${instance}/`, options),
      readFile(local, 'utf8').catch(() => ''),
    ]);
    let found = parseVerifications(text);
    const records = listing.get(instance) ?? [];
    for (const { key } of records) found = mergeVerifications(found, parseVerifications(await this.#textOf(key, options)));
    return found;
  }

  /** An object that cannot be read as text says nothing. */
  async #textOf(key: string, options: CallOptions): Promise<string> {
    try {
      return await readText(this.#store, key, MAX_VERIFICATIONS_BYTES, options);
    } catch (error) {
      if (error instanceof UnreadableTextError || isStoreError(error, 'not-found') || isStoreError(error, 'denied')) return '';
      throw error;
    }
  }

  /** The records in the store below a prefix, by instance: the latest {@link MAX_RECORDS} of each. */
  async #list(prefix: string, options: CallOptions): Promise<ReadonlyMap<string, readonly ObjectInfo[]>> {
    const found = new Map<string, ObjectInfo[]>();
    try {
      for await (const info of this.#store.list(prefix, options)) {
        const [instance = '', name = '', ...deeper] = info.key.slice(VERIFIED_PREFIX.length).split('/');
        if (deeper.length > 0 || !name.endsWith(SUFFIX) || !isReferencePart(instance)) continue;
        found.set(instance, [...(found.get(instance) ?? []), info]);
      }
    } catch (error) {
      if (!isStoreError(error, 'denied') && !isStoreError(error, 'not-found')) throw error;
    }
    const latest = (records: readonly ObjectInfo[]): readonly ObjectInfo[] =>
      records.toSorted((a, b) => b.modified.getTime() - a.modified.getTime()).slice(0, MAX_RECORDS);
    return new Map([...found].map(([instance, records]) => [instance, latest(records)]));
  }
}

/** @throws GantryError `STATE_UNUSABLE` */
async function writeInState(directory: string, name: string, text: string): Promise<void> {
  const path = join(directory, name);
  try {
    await replaceFile(path, text);
  } catch (error) {
    throw unusable(`cannot write ${path}`, error);
  }
}
