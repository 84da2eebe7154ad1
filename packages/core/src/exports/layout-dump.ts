import type { ByteSource, CallOptions, CommitDigest, Digest, PendingObject } from '@gantry/transport';
import { abortable, isStoreError } from '@gantry/transport';
import type { DumpFailure, EncodedDump } from '../frames/encode-dump.ts';
import type { FrameMap } from '../frames/frame-map.ts';
import type { FrameTable } from '../frames/frame-table.ts';
import type { DumpSummary } from '../frames/types.ts';
import { compactMap } from './compact-map.ts';
import type { FrameCut } from './frame-cuts.ts';
import { renderFrameMap } from './frame-map-text.ts';
import { mapFileName } from './layout.ts';
import type { MapRecord } from './manifest.ts';
import type { PackRecord } from './packs.ts';
import type { Sealing } from './sealing.ts';
import { asyncOf, PassedBytes, startingWith } from './sealing.ts';

/** About the longest line of a frame map. */
const MAP_LINE_BYTES = 160;

/** How the frame map of a dump is written. */
export interface MapOptions {
  /** The disk's index. */
  readonly disk: number;
  readonly cut: FrameCut;
  /** Packs of other exports, in the order of their numbers in the map; the number after them is that of the dump itself. */
  readonly packs: readonly PackRecord[];
}

/** A dump that is in the store. */
export interface WrittenDump extends DumpSummary {
  /** Of its frame map, if one was asked for. */
  readonly map?: MapRecord;
}

/** What is in the store of one dump. */
export interface FinishedDump {
  /** Of its object; undefined for a pack without frames, which has none. */
  readonly digest: Digest | undefined;
  /** Undefined for a pack. */
  readonly table: FrameTable | undefined;
  readonly map: MapRecord | undefined;
}

/** A dump that is put together from what the store has. */
export interface AssembledDump {
  /** Appends all of it. @returns its size, and its digest if that is known */
  append(pending: PendingObject, options: CallOptions): Promise<CommitDigest>;
  /** Reads it back, and finds out what it is. */
  check(source: ByteSource, options: CallOptions): Promise<CheckedDump>;
}

/** What a dump was found to be. */
export interface CheckedDump {
  readonly summary: DumpSummary;
  /** Undefined if its frames vary in size. */
  readonly table: FrameTable | undefined;
  readonly map: FrameMap;
}

/** Where the dump of one disk goes. Disposing one that is not finished discards it. */
export interface DumpWriter extends AsyncDisposable {
  /**
   * Takes a dump to its end, and then its frame map if one was asked for, and has both durable. A pack without frames is not kept.
   *
   * @returns what the dump comes to
   * @throws what the dump throws, StoreError; the reason of the signal
   */
  write(dump: EncodedDump, options?: CallOptions): Promise<WrittenDump>;
  /** As `write`, for a dump that is put together: it is read back from the store before it counts as written. */
  assemble(dump: AssembledDump, options?: CallOptions): Promise<WrittenDump>;
}

/** The export that a dump belongs to, and what it does for it. */
export interface DumpPlace extends Pick<PackRecord, 'instance' | 'exportId' | 'name'> {
  readonly map: MapOptions | undefined;
  /** How its frame map is encrypted, if the export is sealed. The dump comes encrypted: see `Sealing.sealDump`. */
  readonly sealing?: Sealing | undefined;
  /** Starts the dump's object. */
  readonly begin: (options: CallOptions) => Promise<PendingObject>;
  /** Opens the dump's object, which is complete. */
  readonly read: (options: CallOptions) => Promise<ByteSource>;
  /** Starts the object of the map. @param expectedBytes about how long it will be */
  readonly beginMap: (expectedBytes: number, options: CallOptions) => Promise<PendingObject>;
  /** Called with the name of its object, and of its map, when that is there. */
  readonly committed: (object: string) => void;
  readonly finished: (dump: FinishedDump) => void;
  readonly closed: () => void;
  /** Called if the store could not be reached any more. */
  readonly lost: () => void;
  /** Whether what is durable is left for the next export when it is disposed unfinished. */
  readonly isLeft: () => boolean;
  /** Called after `finished` if it has only a part of its disk, because its source failed. */
  readonly cutOff: () => void;
}

/** A dump on its way into a store. */
export class LayoutDump implements DumpWriter {
  #pending: PendingObject | undefined;
  readonly #place: DumpPlace;

  /** @param pending its object; undefined for one that is started with its first byte */
  constructor(pending: PendingObject | undefined, place: DumpPlace) {
    this.#pending = pending;
    this.#place = place;
  }

  async write(dump: EncodedDump, options: CallOptions = {}): Promise<WrittenDump> {
    let failure: DumpFailure | undefined;
    try {
      return await this.#write(dump, options, (found) => (failure = found));
    } catch (error) {
      if (isStoreError(error, 'unavailable')) this.#place.lost();
      // That a part could not be kept is not why it failed.
      throw failure === undefined ? error : failure.error;
    }
  }

  /** @throws the failure of the dump too, after the part that it has was written */
  async #write(dump: EncodedDump, options: CallOptions, onFailure: (failure: DumpFailure) => void): Promise<WrittenDump> {
    await this.#append(dump.stored, options);
    const failure = dump.failure?.();
    if (failure !== undefined) onFailure(failure);
    const summary = dump.summary();
    const table = dump.table();
    const isEmpty = table === undefined && summary.storedBytes === 0;
    const digest = isEmpty ? undefined : { size: summary.storedBytes, sha256: summary.sha256 };
    if (digest !== undefined) {
      await (await this.#started(options)).commit(digest, options);
      this.#place.committed(this.#place.name);
    }
    const map = await this.#writeMap(dump.map(), summary, options);
    this.#place.finished({ digest, table, map });
    this.#place.closed();
    if (failure !== undefined) {
      this.#place.cutOff();
      throw failure.error;
    }
    return { ...summary, ...(map === undefined ? {} : { map }) };
  }

  async assemble(dump: AssembledDump, options: CallOptions = {}): Promise<WrittenDump> {
    if (this.#place.sealing !== undefined) throw new TypeError('an encrypted dump cannot be put together from what the store has');
    const pending = await this.#started(options);
    await pending.commit(await dump.append(pending, options), options);
    this.#place.committed(this.#place.name);
    await using source = await this.#place.read(options);
    const { summary, table, map: made } = await dump.check(source, options);
    const map = await this.#writeMap(made, summary, options);
    this.#place.finished({ digest: { size: summary.storedBytes, sha256: summary.sha256 }, table, map });
    this.#place.closed();
    return { ...summary, ...(map === undefined ? {} : { map }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#place.closed();
    if (this.#place.isLeft()) await this.#pending?.leave?.();
    await this.#pending?.[Symbol.asyncDispose]();
  }

  async #started(options: CallOptions): Promise<PendingObject> {
    return (this.#pending ??= await this.#place.begin(options));
  }

  /** Starts the object with the first byte, if it was not started before. */
  async #append(stored: AsyncIterable<Uint8Array>, options: CallOptions): Promise<void> {
    if (this.#pending !== undefined) {
      await this.#pending.append(stored, options);
      return;
    }
    const chunks = abortable(stored, options.signal);
    try {
      const first = await chunks.next();
      if (first.done !== true) await (await this.#started(options)).append(startingWith(first.value, chunks), options);
    } finally {
      // Not awaited: where the store failed, the source may be producing its next chunk for a long time.
      chunks.return().catch(() => undefined);
    }
  }

  async #writeMap(made: FrameMap | undefined, summary: DumpSummary, options: CallOptions): Promise<MapRecord | undefined> {
    const { map: asked, instance, exportId, name, beginMap } = this.#place;
    if (asked === undefined) return undefined;
    if (made === undefined) throw new TypeError(`${name} has no frame map`);
    const own = { instance, exportId, name, codec: summary.codec, size: summary.storedBytes, sha256: summary.sha256 };
    const { map, packs } = compactMap(made, [...asked.packs, own]);
    await using pending = await beginMap((packs.length + map.length) * MAP_LINE_BYTES, options);
    const { sealing } = this.#place;
    const render = (): Iterable<Uint8Array> => renderFrameMap(map, { instance, exportId, packs });
    await using sealed = await sealing?.sealMap({ instance, exportId, disk: asked.disk }, render);
    const passed = new PassedBytes();
    await pending.append(passed.of(sealed?.stored ?? asyncOf(render())), options);
    const record = { ...passed.digest, cut: asked.cut, packs };
    await sealed?.keep(record);
    await pending.commit(record, options);
    this.#place.committed(mapFileName(asked.disk, { sealed: sealing }));
    return record;
  }
}

/** What a manifest has to say of a dump, to compare both. */
export function finishedText({ digest, map }: FinishedDump): string {
  const size = digest?.size ?? 0;
  return `${size} ${size === 0 ? '' : digest?.sha256} ${map?.sha256}`;
}
