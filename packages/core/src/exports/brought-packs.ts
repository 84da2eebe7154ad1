import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError, StoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { quoteWord } from '../report/quote-word.ts';
import { partToBring, writeBroughtPart } from './brought-part.ts';
import type { ClaimRequest } from './claim.ts';
import { ClaimedPlace } from './claimed-place.ts';
import type { ObjectPlace } from './copy-object.ts';
import { copyObject, isInterruption } from './copy-object.ts';
import type { CopyId } from './copy-place.ts';
import { assertClaimable, claimCopy, continueCopy, lookAtPlace, otherExport } from './copy-place.ts';
import type { ExportDirectory } from './directories.ts';
import { isRetired, readDirectory } from './directories.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import type { ExportObject } from './export-objects.ts';
import { ownObjects, packKey, packsOfOthers } from './export-objects.ts';
import { BROUGHT_PART_FILE, isUnusedMark, mayBePack, SEALED_PART_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { PackDigests } from './pack-digests.ts';
import { completeExports, manifestIfUsable } from './parents.ts';
import { removeExport } from './remove-export.ts';
import { splitFiles } from './removed.ts';
import { isSameRun } from './same-export.ts';
import { digestText } from './small-object.ts';
import { readUsablePacks } from './usable-packs.ts';

/*
 * The packs of other exports that a copied export refers to, where it cannot be written anew with packs of its own because it is sealed
 * (docs/decisions/0157). They keep their names. If the target does not have the export that they are of, they are there what would be left
 * of it if it had been removed.
 */

/** The packs that an export needs of another one. */
export interface NeededPacks extends CopyId {
  readonly packs: readonly ExportObject[];
}

export interface BringOptions {
  readonly source: Store;
  readonly target: Store;
  /** Whether packs of that instance may be written. */
  readonly bringsOf: (instance: string) => boolean;
  readonly signal: AbortSignal;
  /** Called with what the user should know. */
  readonly warn: (message: string) => void;
  /** What it fails with where the target has an export itself, of the same run, with other packs than are needed. */
  readonly storedInAnotherWay: (error: GantryError) => GantryError;
  /** Who copies. */
  readonly run: Pick<ClaimRequest, 'runId' | 'tool' | 'started'>;
}

/** What an export needs of each other one. */
export function neededPacks(manifest: Manifest): readonly NeededPacks[] {
  const diskOf = new Map(manifest.dumps.flatMap(({ index, map }) => (map?.packs ?? []).map((pack) => [packKey(pack), index])));
  const byOwner = Map.groupBy(packsOfOthers(manifest), ({ instance, exportId }) => formatExportReference(instance, exportId));
  return [...byOwner.values()].flatMap((packs) => {
    const [first] = packs;
    if (first === undefined) return [];
    const objects = packs.map((pack) => {
      const key = packKey(pack);
      return { name: pack.name, key, size: pack.size, sha256: pack.sha256, disk: diskOf.get(key) ?? 0 };
    });
    return { instance: first.instance, id: first.exportId, packs: objects };
  });
}

type UnclaimedExport = Parameters<typeof claimCopy>[1];

/** Where the packs of an export are at the target, or would be. */
type PlaceOfPacks =
  | { readonly state: 'export' }
  /** What is left of it after it was removed. */
  | { readonly state: 'removed'; readonly files: ExportDirectory['files']; readonly missing: readonly ExportObject[] }
  | { readonly state: 'absent'; readonly found: UnclaimedExport };

/** Brings packs to where an export is copied. Disposing it takes those away again to which nothing refers, unless they are to be kept. */
export class BroughtPacks implements AsyncDisposable {
  readonly #o: BringOptions;
  readonly #brought = new Set<string>();
  /** Packs at the target that were compared. */
  readonly #same = new Set<string>();
  #isKept = false;
  #sentBytes = 0;

  constructor(options: BringOptions) {
    this.#o = options;
  }

  /** How many bytes were sent. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /**
   * To be called when the claim of the copy is in the target, and names the owners of the packs as its parents.
   *
   * @throws GantryError `EXPORT_EXISTS`, or as `storedInAnotherWay` says, where another export has the place of a pack; `BUSY` where it is
   *   being written or removed; `EXPORT_NOT_FOUND` for packs of an instance that must not be written; `DUMP_MISSING`, `DUMP_DAMAGED` for a
   *   pack at the source; StoreError of the target
   */
  async bring(needed: readonly NeededPacks[]): Promise<void> {
    // Packs can be large: what is refused is known before any of them is sent.
    for (const each of needed) await this.#look(each);
    for (const each of needed) await this.#bringOf(each);
  }

  /**
   * Compares the packs of the export itself that are at the target with what it says of them. To be called as {@link bring}, with the export
   * itself as a parent.
   *
   * @returns their sizes, by their names
   * @throws GantryError `EXPORT_EXISTS` for other packs; `BUSY` if they are being removed; StoreError
   */
  async assertOwn(own: NeededPacks): Promise<ReadonlyMap<string, number>> {
    const { target, signal } = this.#o;
    const { files } = await readDirectory(target, own, { signal });
    if (!isRetired(files) || [...files.keys()].some(isUnusedMark)) throw beingRemoved(target, own);
    const names = new Set(own.packs.map(({ name }) => name));
    if ([...files.keys()].some((name) => mayBePack(name) && !names.has(name))) throw otherExport(target, referenceOf(own));
    const there = own.packs.filter(({ name }) => files.has(name));
    await this.#assertSame(own, there);
    return new Map(there.map(({ name, size }) => [name, size]));
  }

  /** To be called before the export becomes visible. @throws StoreError `integrity` for a pack that somebody took away meanwhile */
  async assertThere(needed: readonly NeededPacks[]): Promise<void> {
    if (needed.length === 0) return;
    const { target, signal } = this.#o;
    const usable = await readUsablePacks(
      target,
      needed.map(({ instance }) => instance),
      { signal },
    );
    for (const { instance, id, packs } of needed) {
      const gone = packs.find(({ name, size }) => !usable.has({ instance, exportId: id, name, size }));
      if (gone === undefined) continue;
      throw new StoreError('integrity', {
        key: gone.key,
        message: `${gone.key} was removed or changed by somebody else while an export that refers to it was copied`,
        hint: 'Copy the export again.',
      });
    }
  }

  /** They stay: the export that refers to them is there, or a later run goes on. */
  keep(): void {
    this.#isKept = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isKept) return;
    for (const reference of this.#brought) {
      try {
        await removeExport(this.#o.target, reference);
      } catch (error) {
        if (error instanceof GantryError && error.code === 'EXPORT_NOT_FOUND') continue;
        this.#o.warn(`packs of ${reference} stay in ${this.#o.target.address}: gantry prune removes them`);
      }
    }
  }

  async #bringOf(needed: NeededPacks): Promise<void> {
    const place = await this.#look(needed);
    if (place.state === 'removed') await this.#addToRemoved(needed, place);
    else if (place.state === 'absent') await this.#addAsRemoved(needed, place.found);
  }

  /** Where the packs are at the target, or would be. @throws as {@link bring} for what is refused; nothing is written */
  async #look(needed: NeededPacks): Promise<PlaceOfPacks> {
    const { target, signal } = this.#o;
    const { files } = await readDirectory(target, needed, { signal });
    if (isRetired(files)) {
      // One who removes the rest of it now does not see what is written meanwhile.
      if (splitFiles(files).packs.length === 0 || [...files.keys()].some(isUnusedMark)) throw beingRemoved(target, needed);
      const there = needed.packs.filter(({ name }) => files.has(name));
      await this.#assertSame(needed, there);
      const missing = needed.packs.filter(({ name }) => !files.has(name));
      if (missing.length > 0) this.#assertMayBring(needed);
      return { state: 'removed', files, missing };
    }
    const found = await lookAtPlace(target, needed, { signal });
    if (found.state === 'export') {
      const there = new Set(ownObjects(found.manifest).map(textOf));
      if (!needed.packs.every((pack) => there.has(textOf(pack)))) throw await this.#otherPacks(needed, found.manifest);
      return { state: 'export' };
    }
    this.#assertMayBring(needed);
    assertClaimable(target, found, referenceOf(needed));
    return { state: 'absent', found };
  }

  /** The target has an export that lacks packs: another one under this id, unless it is of the same run, as far as the source knows. */
  async #otherPacks(needed: NeededPacks, there: Manifest): Promise<GantryError> {
    const { source, target, storedInAnotherWay, signal } = this.#o;
    const error = otherExport(target, referenceOf(needed));
    const here = await manifestIfUsable(source, needed, { signal });
    return here === undefined || isSameRun(here, there) ? storedInAnotherWay(error) : error;
  }

  /** The target has nothing of the export. */
  async #addAsRemoved(needed: NeededPacks, found: UnclaimedExport): Promise<void> {
    const { target, signal, warn, run } = this.#o;
    const { instance, packs } = needed;
    const names = packs.map(({ name }) => name);
    const copies = digestText(packs.map(textOf).join('\n')).sha256;
    const request = { ...run, instance, id: needed.id, dumps: names, copies };
    const options = { signal, warn };
    await using place =
      (await continueCopy(target, found, request, options)) ??
      new ClaimedPlace(target, { ...options, instance, claim: await claimCopy(target, found, request, options) });
    try {
      await this.#send(needed, place);
      const part = await partToBring(this.#o.source, needed, options);
      await place.forget((name) => !names.includes(name), { signal });
      if (part !== undefined) await place.write(BROUGHT_PART_FILE, part, { signal });
      await place.commitRemoved(run.runId, { signal });
      this.#brought.add(referenceOf(needed));
    } catch (error) {
      if (isInterruption(error, signal)) place.keep();
      throw error;
    }
  }

  /** The target has what is left of the export after it was removed. */
  async #addToRemoved(needed: NeededPacks, { files, missing }: Extract<PlaceOfPacks, { readonly state: 'removed' }>): Promise<void> {
    const { source, target, bringsOf, signal, warn } = this.#o;
    if (missing.length > 0) {
      this.#brought.add(referenceOf(needed));
      await this.#send({ ...needed, packs: missing }, new UnclaimedPlace(target, needed));
    }
    if (files.has(SEALED_PART_FILE) || files.has(BROUGHT_PART_FILE) || !bringsOf(needed.instance)) return;
    const part = await partToBring(source, needed, { signal, warn });
    if (part !== undefined) await writeBroughtPart(target, needed, part, { signal });
  }

  #assertMayBring({ instance, id }: CopyId): void {
    const { target, bringsOf } = this.#o;
    if (bringsOf(instance)) return;
    const packs = `cannot bring packs of ${formatExportReference(instance, id)} to ${target.address}`;
    throw new GantryError('EXPORT_NOT_FOUND', {
      message: `${packs}: these are packs of another instance, and are not there`,
      hint: `Copy that export first. If it was removed: gantry copy --packs-of ${quoteWord(instance)}, or gantry mirror with its name, too.`,
    });
  }

  async #send({ instance, id, packs }: NeededPacks, place: ObjectPlace): Promise<void> {
    const { source, target, signal } = this.#o;
    for (const pack of packs) {
      try {
        this.#sentBytes += await copyObject({ source, target, place, instance, id }, pack, { signal });
      } catch (error) {
        if (!isStoreError(error, 'exists')) throw error;
        // Another copy was faster.
        await this.#assertSame({ instance, id }, [pack]);
      }
    }
  }

  /** What manifests say of a pack at the target is believed; else it is read. @throws GantryError `EXPORT_EXISTS` */
  async #assertSame({ instance, id }: CopyId, packs: readonly ExportObject[]): Promise<void> {
    const { target, signal } = this.#o;
    const left = new Map(packs.flatMap((pack) => (this.#same.has(packText(pack)) ? [] : [[packText(pack), pack]])));
    for (const other of left.size === 0 ? [] : await completeExports(target, instance, { signal })) {
      if (left.size === 0) break;
      const manifest = await manifestIfUsable(target, { instance, id: other }, { signal });
      for (const pack of manifest === undefined ? [] : packsOfOthers(manifest)) left.delete(packText({ ...pack, key: packKey(pack) }));
    }
    const digests = new PackDigests(target);
    for (const pack of left.values()) {
      const digest = await digests.of(pack.key, { signal });
      if (digest === undefined) throw beingRemoved(target, { instance, id });
      if (digest.size !== pack.size || digest.sha256 !== pack.sha256) throw otherExport(target, referenceOf({ instance, id }));
    }
    for (const pack of packs) this.#same.add(packText(pack));
  }
}

/** What is left of a removed export: nobody claims that. */
class UnclaimedPlace implements ObjectPlace {
  readonly canWait = false;
  readonly #store: Store;
  readonly #prefix: string;

  constructor(store: Store, { instance, id }: CopyId) {
    this.#store = store;
    this.#prefix = exportPrefix(instance, id);
  }

  has(): boolean {
    return false;
  }

  begin(name: string, expectedBytes: number, options: CallOptions): ReturnType<ObjectPlace['begin']> {
    const ifExists = this.#store.capabilities.createOnly ? 'fail' : 'replace';
    return this.#store.begin(`${this.#prefix}${name}`, { ...options, ifExists, expectedBytes });
  }

  async finish(...[, pending, digest, options]: Parameters<ObjectPlace['finish']>): Promise<void> {
    await pending.commit(digest, options);
  }
}

function referenceOf({ instance, id }: CopyId): string {
  return formatExportReference(instance, id);
}

function textOf({ name, size, sha256 }: Pick<ExportObject, 'name' | 'size' | 'sha256'>): string {
  return `${sha256} ${size} ${name}`;
}

function packText({ key, size, sha256 }: Pick<ExportObject, 'key' | 'size' | 'sha256'>): string {
  return `${sha256} ${size} ${key}`;
}

function beingRemoved(target: Store, id: CopyId): GantryError {
  return new GantryError('BUSY', {
    message: `cannot bring packs of ${referenceOf(id)} to ${target.address}: what is left of that export there is being removed`,
    hint: `Copy again when that has ended: gantry prune ${quoteWord(target.address)} ends it.`,
  });
}
