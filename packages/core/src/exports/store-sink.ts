import type { BeginOptions, CallOptions, Digest, PendingObject, Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import type { NativeFile } from '../instances/inventory.ts';
import { isNativeName } from '../instances/native-files.ts';
import type { Claim } from './claim.ts';
import { parseClaim } from './claim.ts';
import { renderExportConfig } from './config-export.ts';
import type { ExportHeader } from './export-header.ts';
import { claimFor, exportHeaderSchema } from './export-header.ts';
import { formatExportReference } from './export-id.ts';
import type { ExportObject } from './export-objects.ts';
import { objectsOfOthers, ownObjects, packsOfOthers } from './export-objects.ts';
import { keepPacks } from './keep-packs.ts';
import { findMissing } from './find-missing.ts';
import { encodeFrameTables } from './frame-tables.ts';
import type { InterferenceTexts } from './held-claim.ts';
import { HeldClaim } from './held-claim.ts';
import type { DumpWriter, FinishedDump, MapOptions } from './layout-dump.ts';
import { finishedText, LayoutDump } from './layout-dump.ts';
import { keptNames, markCutOff } from './cut-off.ts';
import type { FileForm } from './layout.ts';
import {
  CONFIG_FILE,
  FRAMES_FILE,
  isDumpName,
  MANIFEST_FILE,
  mapFileName,
  nativeObjectName,
  SEALED_PART_FILE,
  SEALED_SUFFIX,
  SIGNATURE_FILE,
  SUMS_FILE,
} from './layout.ts';
import type { CommittedManifest, Manifest, NativeRecord } from './manifest.ts';
import { LINEAGE_MANIFEST_VERSION, MANIFEST_VERSION, renderChecked, SEALED_MANIFEST_VERSION } from './manifest.ts';
import type { PackRecord } from './packs.ts';
import { openManifest, splitManifest } from './sealed-part.ts';
import type { Sealing } from './sealing.ts';
import type { FileSum } from './sha256sums.ts';
import { renderSha256Sums } from './sha256sums.ts';
import type { SignManifest } from './signature.ts';
import { digestBytes, digestText, writeBytes, writeText } from './small-object.ts';
import { assertIsStore } from './store-marker.ts';

const INTERFERENCE: InterferenceTexts = {
  meanwhile: 'the export was made',
  hint: 'Export again; gantry clean must not remove exports that are still running on another host.',
  other: 'another export',
};

/** What an export says of itself, but for what the sink knows better. */
export type ManifestDraft = Omit<Manifest, 'version' | 'frameTables' | 'native' | 'sealed'>;

/** With what the sink knows of native files. */
type OwnDraft = ManifestDraft & Pick<Manifest, 'native'>;

export type { ExportHeader } from './export-header.ts';
export type { DumpWriter, MapOptions } from './layout-dump.ts';

export interface DumpOptions extends CallOptions {
  readonly map?: MapOptions | undefined;
  readonly assembledBytes?: number | undefined;
}

/** An export on its way into a store. Disposing it before it is committed removes all that was written of it. */
export interface StoreExportWriter extends AsyncDisposable {
  /** The id that it got. */
  readonly id: string;
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  /**
   * Starts a dump, by its file name, such as `disk0.zst`; several may be open at once.
   *
   * @param options.map the frame map of the disk is written after the dump, which must have one
   * @param options.assembledBytes the dump will be put together from what the store has, and about how large it will be
   */
  dump(name: string, options?: DumpOptions): Promise<DumpWriter>;
  /** Writes a file of the native description beside the dumps, secret or not. */
  native(file: NativeFile, options?: CallOptions): Promise<void>;
  /**
   * All dumps are written: makes the export visible, at once and durably. If one of them is not complete by itself, that is by its frame
   * maps alone, which all must have then. Packs of other exports must still be there.
   */
  commit(draft: ManifestDraft, options?: CallOptions): Promise<CommittedManifest>;
}

/** Takes exports. */
export interface StoreSink {
  readonly address: string;
  /** Starts one export. */
  open(header: ExportHeader, options?: CallOptions): Promise<StoreExportWriter>;
}

export interface StoreSinkOptions {
  /** Called with what could not be removed after a failure, and the like. */
  readonly warn?: ((message: string) => void) | undefined;
  /** Makes a place that is not a store one; without it, an export into such a place is refused (see `requireStore`). */
  readonly createStore?: boolean | undefined;
  /** How everything in the export is encrypted that need not be read by everybody; see `docs/reference/formats/sealed.md`. */
  readonly sealing?: Sealing | undefined;
  /** Signs the manifest. */
  readonly sign?: SignManifest | undefined;
  /** If the source of a dump fails, keeps the packs that it has written, with their frame maps, so that the next one can take them over. */
  readonly keepPacks?: boolean | undefined;
  /** Besides, if the store cannot be reached any more, leaves what is durable there instead of removing it, should it be reachable again. */
  readonly leaveIfLost?: boolean | undefined;
}

/**
 * The export layout (docs/reference/formats/export-layout.md) as a sink over any store. It rejects with what the store rejects with
 * (and with a GantryError where there is no store), and does not dispose it.
 *
 * `open` looks whether there is a store, and claims an export id. Dumps become objects as they are finished. `commit` writes
 * `frames.table`, `config.ini`, `SHA256SUMS` and at last `manifest.json`, and then removes the claim.
 */
export function storeSink(store: Store, options: StoreSinkOptions = {}): StoreSink {
  return {
    address: store.address,
    async open(header, call = {}) {
      const request = exportHeaderSchema.parse(header);
      await assertIsStore(store, { ...call, create: options.createStore === true });
      const claim = await claimFor(store, { ...request, recipients: options.sealing?.recipients }, call);
      return new LayoutWriter(store, request.instance, claim, options);
    },
  };
}

/** An export whose place is claimed already, such as a copy. The store must be one. */
export function openClaimed(store: Store, instance: string, claim: Claim, options: StoreSinkOptions): StoreExportWriter {
  return new LayoutWriter(store, instance, claim, options);
}

class LayoutWriter implements StoreExportWriter {
  readonly id: string;
  readonly reference: string;
  readonly #store: Store;
  readonly #instance: string;
  readonly #claim: HeldClaim;
  readonly #keepPacks: boolean;
  readonly #leaveIfLost: boolean;
  readonly #sealing: Sealing | undefined;
  readonly #sign: SignManifest | undefined;
  /** A disk failed, or all were cancelled: not the store, which may be full. */
  #isCutOff = false;
  /** The store could not be reached any more, and what is durable is left to the next export as if this process had been killed. */
  #isLost = false;
  /** Every dump that was started: what it came to, once it is finished. */
  readonly #dumps = new Map<string, FinishedDump | undefined>();
  /** Every frame map that was started, by its name: what it came to, once it is there. */
  readonly #maps = new Map<string, Digest | undefined>();
  /** By the names of their objects. */
  readonly #native = new Map<string, NativeRecord>();
  readonly #open = new Set<LayoutDump>();
  /** Objects that were certainly made here. Where nobody could look, another export may stand in the same place. */
  readonly #written = new Set<string>();
  #state: 'open' | 'committed' | 'aborted' = 'open';

  constructor(store: Store, instance: string, claim: Claim, options: StoreSinkOptions) {
    this.#store = store;
    this.#instance = instance;
    this.#claim = new HeldClaim(store, instance, claim, options.warn ?? ((): void => {}), INTERFERENCE);
    this.id = this.#claim.id;
    this.reference = this.#claim.reference;
    this.#keepPacks = options.keepPacks === true && claim.alone;
    this.#leaveIfLost = this.#keepPacks && options.leaveIfLost === true && store.salvage !== undefined;
    this.#sealing = options.sealing;
    this.#sign = options.sign;
  }

  async dump(name: string, { map, assembledBytes, ...options }: DumpOptions = {}): Promise<DumpWriter> {
    if (!isDumpName(name) || this.#dumps.has(name) || name.endsWith(SEALED_SUFFIX) !== (this.#sealing !== undefined)) {
      throw new StoreError('invalid-key', { key: name, message: `${JSON.stringify(name)} cannot be the name of another dump` });
    }
    this.#dumps.set(name, undefined);
    const isCopied = assembledBytes !== undefined && this.#store.capabilities.rangedCopy === true;
    const digestBy = isCopied ? 'reader' : 'caller';
    const begin = (call: CallOptions): Promise<PendingObject> => this.#begin(name, { ...call, digestBy, expectedBytes: assembledBytes });
    // A pack may have no frames, and then there is nothing to start.
    const pending = map === undefined || assembledBytes !== undefined ? await begin(options) : undefined;
    const dump: LayoutDump = new LayoutDump(pending, {
      instance: this.#instance,
      exportId: this.id,
      name,
      map,
      sealing: this.#sealing,
      begin,
      read: (call) => this.#store.read(`${this.#claim.prefix}${name}`, call),
      beginMap: (expectedBytes, call) => this.#beginMap(map?.disk ?? 0, { ...call, expectedBytes }),
      committed: (object) => this.#written.add(object),
      finished: (finished) => {
        this.#dumps.set(name, finished);
        if (map !== undefined) this.#maps.set(mapFileName(map.disk, this.#form), finished.map);
      },
      closed: () => this.#open.delete(dump),
      cutOff: () => (this.#isCutOff = true),
      lost: () => (this.#isLost = this.#leaveIfLost),
      isLeft: () => this.#isLost,
    });
    this.#open.add(dump);
    return dump;
  }

  get #form(): FileForm {
    return { sealed: this.#sealing };
  }

  #beginMap(disk: number, options: BeginOptions): Promise<PendingObject> {
    const name = mapFileName(disk, this.#form);
    this.#maps.set(name, undefined);
    return this.#begin(name, options);
  }

  #begin(name: string, options: Omit<BeginOptions, 'ifExists'>): Promise<PendingObject> {
    return this.#store.begin(`${this.#claim.prefix}${name}`, { digestBy: 'caller', ...options, ifExists: this.#claim.ifExists });
  }

  async native({ name, secret, bytes }: NativeFile, options: CallOptions = {}): Promise<void> {
    const object = nativeObjectName(name, this.#form);
    if (!isNativeName(name) || this.#native.has(object)) {
      throw new StoreError('invalid-key', { key: name, message: `${JSON.stringify(name)} cannot be the name of another native file` });
    }
    const stored = this.#sealing === undefined ? bytes : await this.#sealing.seal(object, bytes);
    this.#native.set(object, { name, secret, ...digestBytes(stored) });
    await this.#write(object, stored, options);
  }

  async commit(draft: ManifestDraft, options: CallOptions = {}): Promise<CommittedManifest> {
    this.#assertTrue(draft);
    this.#assertClaimNames(packsOfOthers(draft));
    const native = this.#native.size === 0 ? {} : { native: [...this.#native.values()] };
    const { manifest, text } = await this.#describe({ ...draft, ...native }, options);
    // Where it cannot be signed any more, what was sent need not be sent again.
    this.#isCutOff = true;
    const signature = await this.#sign?.(text, options);
    this.#isCutOff = false;
    if (signature !== undefined) await this.#write(SIGNATURE_FILE, signature, options);
    await keepPacks(this.#store, manifest, { ...options, warn: this.#claim.warn });
    const write = (): Promise<void> => this.#write(MANIFEST_FILE, text, options);
    await this.#claim.show(() => this.#assertStillThere(manifest, options), write, options);
    this.#state = 'committed';
    await this.#claim.release();
    return { manifest, sha256: digestText(text).sha256 };
  }

  /** Writes what stands beside the manifest. @returns the manifest as it is read in the open, and its text */
  async #describe(draft: OwnDraft, options: CallOptions): Promise<{ readonly manifest: Manifest; readonly text: string }> {
    const source = `the manifest of ${this.reference}`;
    if (this.#sealing !== undefined) return await this.#describeSealed(this.#sealing, draft, source, options);
    const tables = this.#frameTables(draft);
    const form: Pick<Manifest, 'version' | 'frameTables'> =
      tables === undefined ? { version: LINEAGE_MANIFEST_VERSION } : { version: MANIFEST_VERSION, frameTables: digestBytes(tables) };
    const { manifest, text } = renderChecked({ ...draft, ...form }, source);
    const config = renderExportConfig(manifest);
    if (tables !== undefined) await this.#write(FRAMES_FILE, tables, options);
    await this.#write(CONFIG_FILE, config, options);
    await this.#writeSums(manifest, [{ name: CONFIG_FILE, sha256: digestText(config).sha256 }], options);
    return { manifest, text };
  }

  async #describeSealed(
    sealing: Sealing,
    draft: OwnDraft,
    source: string,
    options: CallOptions,
  ): Promise<{ readonly manifest: Manifest; readonly text: string }> {
    const { open, sealed } = splitManifest(draft, sealing);
    const part = await sealing.seal(SEALED_PART_FILE, Buffer.from(sealed));
    const record = { recipients: sealing.recipients, part: digestBytes(part) };
    const { manifest, text } = renderChecked({ ...open, version: SEALED_MANIFEST_VERSION, sealed: record }, source);
    // What a reader with an identity makes of it.
    openManifest(manifest, sealed, source);
    await this.#write(SEALED_PART_FILE, part, options);
    await this.#writeSums(manifest, [], options);
    return { manifest, text };
  }

  async #writeSums(manifest: Manifest, more: readonly FileSum[], options: CallOptions): Promise<void> {
    await this.#write(SUMS_FILE, renderSha256Sums([...ownObjects(manifest), ...more, ...objectsOfOthers(manifest)]), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'aborted';
    await Promise.allSettled([...this.#open].map((dump) => dump[Symbol.asyncDispose]()));
    if (this.#isLost) {
      this.#claim.warn(`what was stored of ${this.reference} stays for the next incremental export of this host, or until it is cleaned`);
      return;
    }
    await this.#claim.giveUp(async (claimed, signal) => {
      // The manifest may be there although writing it failed.
      const side = [SIGNATURE_FILE, SEALED_PART_FILE, FRAMES_FILE, CONFIG_FILE, SUMS_FILE];
      const all = [MANIFEST_FILE, ...this.#dumps.keys(), ...this.#maps.keys(), ...this.#native.keys(), ...side];
      const kept = this.#keepPacks && this.#isCutOff ? this.#packsToKeep() : new Set<string>();
      await this.#claim.remove(
        all.filter((name) => !kept.has(name) && (this.#claim.alone || this.#written.has(name))),
        signal,
      );
      if (kept.size > 0 && !(await this.#markCutOff(kept, parseClaim(claimed)?.runId ?? this.id, signal)))
        await this.#claim.remove([...kept], signal);
    });
  }

  #markCutOff(kept: ReadonlySet<string>, runId: string, signal: AbortSignal): Promise<boolean> {
    const maps = [...this.#maps].flatMap(([name, digest]) =>
      digest === undefined || !kept.has(name) ? [] : [{ name, size: digest.size, sha256: digest.sha256 }],
    );
    return markCutOff(
      this.#store,
      { instance: this.#instance, id: this.id },
      { runId, recipients: this.#sealing?.recipients, maps },
      { signal },
    );
  }

  /** With their maps. */
  #packsToKeep(): ReadonlySet<string> {
    const finished = [...this.#dumps].flatMap(([name, dump]) => (dump?.digest !== undefined && dump.map !== undefined ? [name] : []));
    return keptNames([...finished, ...this.#maps.keys()]);
  }

  async #write(name: string, content: string | Uint8Array, options: CallOptions): Promise<void> {
    const key = `${this.#claim.prefix}${name}`;
    const begin = { ...options, ifExists: this.#claim.ifExists };
    await (typeof content === 'string' ? writeText(this.#store, key, content, begin) : writeBytes(this.#store, key, content, begin));
    this.#written.add(name);
  }

  async #assertStillThere(manifest: Manifest, options: CallOptions): Promise<void> {
    const own = ownObjects(manifest);
    const others = objectsOfOthers(manifest);
    // One listing shows both, in most cases.
    const instances = packsOfOthers(manifest).map(({ instance }) => `${instance}/`);
    const prefixes = others.length === 0 ? [this.#claim.prefix] : [`${this.#instance}/`, ...instances];
    const gone = await findMissing(this.#store, prefixes, [...own, ...others], options);
    if (gone !== undefined) throw own.includes(gone) ? this.#claim.changedByOther(gone.name) : this.#packLost(gone);
  }

  #packLost({ key }: ExportObject): StoreError {
    return new StoreError('integrity', {
      key,
      message: `${key}, to which ${this.reference} refers, was removed or changed by somebody else while the export was made`,
      hint: 'Export again: what is still there is used.',
    });
  }

  /** The frame tables of dumps that are all complete by themselves; undefined if one is a pack. */
  #frameTables({ dumps }: Pick<ManifestDraft, 'dumps'>): Uint8Array | undefined {
    const tables = dumps.map(({ name }) => this.#dumps.get(name)?.table);
    return tables.every((table) => table !== undefined) ? encodeFrameTables(tables) : undefined;
  }

  /** Only what the claim names is kept by those who remove exports meanwhile. */
  #assertClaimNames(packs: readonly PackRecord[]): void {
    const named = new Set(parseClaim(this.#claim.text)?.parents);
    const other = packs.map(({ instance, exportId }) => formatExportReference(instance, exportId)).find((owner) => !named.has(owner));
    if (other !== undefined) throw new TypeError(`the claim of ${this.reference} does not name ${other} as a parent`);
  }

  /** A manifest that says other things than what was written would be found out only on the day when the export is needed. */
  #assertTrue(manifest: ManifestDraft): void {
    const said = new Map(
      manifest.dumps.map(({ name, storedBytes, sha256, map }) => [
        name,
        `${storedBytes} ${storedBytes === 0 ? '' : sha256} ${map?.sha256}`,
      ]),
    );
    const wrong = [...this.#dumps].find(([name, dump]) => dump === undefined || said.get(name) !== finishedText(dump));
    if (manifest.exportId !== this.id || wrong !== undefined || said.size !== this.#dumps.size) {
      throw new TypeError(`the manifest of ${this.reference} does not fit ${wrong?.[0] ?? 'the export'}`);
    }
  }
}
