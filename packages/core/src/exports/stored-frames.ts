import type { CallOptions } from '@gantry/transport';
import { abortable, orAbort } from '@gantry/transport';
import type { FetchedFrame } from '../frames/map-frames.ts';
import { bufferSize, divide, fetchFrames } from '../frames/map-frames.ts';
import { entriesOf, inFrame, MapDecoder } from '../frames/decode-map.ts';
import type { FrameInMap, FrameMap, PackPlace, PatchInMap, PlacedEntry } from '../frames/frame-map.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { IndexedEntry, OpenPackRange } from '../frames/pack-runs.ts';
import { placesOf } from '../frames/pack-runs.ts';
import { DumpReader } from '../frames/dump-reader.ts';
import type { MapPacks } from '../frames/decode-map.ts';
import type { PlainFrame, ReadFrameOptions } from '../frames/random-access.ts';
import { readAhead } from '../system/read-ahead.ts';
import type { MappedDisk, PackStore } from './pack-sources.ts';
import { storedPacks } from './pack-sources.ts';
import { sum } from '../system/sum.ts';

/** A frame of a disk as it is stored. */
export interface StoredFrame {
  /** The index of its entry in the map. */
  readonly index: number;
  readonly entry: PlacedEntry & (FrameInMap | PatchInMap);
  /** The stored bytes: of a frame, or of the difference that a patch is. Valid until the next frame is requested. */
  readonly stored: Uint8Array;
  /** The stored bytes of the frame from which a patch differs; empty for a frame that is not a patch. */
  readonly base: Uint8Array;
}

export interface StoredFramesOptions extends CallOptions {
  /** Only these entries; all if absent. */
  readonly wanted?: ((index: number, entry: PlacedEntry) => boolean) | undefined;
  /** Shared by everything that is read at once. */
  readonly budget?: MemoryBudget | undefined;
}

/** For one disk whose frames are only passed on. */
const OWN_BUDGET_BYTES = 32 * 1024 * 1024;
const FRAMES_AHEAD = 8;

/**
 * The stored frames of a disk in the order of its map, without the zeros: read from all its packs, with one request for frames that lie
 * together. They are not checked: {@link PlainFrames} does that.
 *
 * @throws GantryError `PACK_MISSING`, `DUMP_MISSING`, `DUMP_DAMAGED`, `STORE_*`; the reason of the signal
 */
export async function* storedFrames(
  store: PackStore,
  disk: MappedDisk,
  map: FrameMap,
  options: StoredFramesOptions = {},
): AsyncGenerator<StoredFrame, void, undefined> {
  const { wanted = (): boolean => true, budget = new MemoryBudget(OWN_BUDGET_BYTES), signal = new AbortController().signal } = options;
  const { open, damaged } = storedPacks(store, disk);
  const memory = budget.share();
  const release = ({ read, buffer }: FetchedFrame): void => {
    const free = (): void => memory.release(buffer);
    read.then(free, free);
  };
  const start = async function* (inner: AbortSignal): AsyncGenerator<FetchedFrame, void, undefined> {
    for await (const frame of fetchFrames(only(map, wanted), { open, memory }, inner)) if ('read' in frame) yield frame;
  };
  for await (const frame of readAhead(start, FRAMES_AHEAD, signal, release)) {
    try {
      await inFrame(damaged, frame, orAbort(frame.read, signal));
      const { index, entry, stored, base } = frame;
      yield { index, entry, stored, base };
    } finally {
      release(frame);
    }
  }
}

function* only(map: FrameMap, wanted: (index: number, entry: PlacedEntry) => boolean): Generator<IndexedEntry, void, undefined> {
  for (const each of entriesOf(map)) if (wanted(each.index, each.entry)) yield each;
}

/** The frames of a disk, any of which can be read alone. Holds nothing open. */
export class PlainFrames {
  readonly #map: FrameMap;
  readonly #packs: MapPacks;
  readonly #decoder: MapDecoder;

  /** @param packs such as those of {@link storedPacks} */
  constructor(map: FrameMap, packs: MapPacks) {
    this.#map = map;
    this.#packs = packs;
    this.#decoder = new MapDecoder(packs);
  }

  /** Bytes of memory that reading the frame of one entry needs; 0 for zeros. */
  room(index: number): number {
    const sizes = this.#sizes(this.#entry(index));
    return sizes.length === 0 ? 0 : bufferSize(sum(sizes));
  }

  /**
   * Reads and checks the frame of one entry. Several may be read at once; each takes one request to the store, two if it is a patch, none
   * if it is a run of zeros, and its own memory: nothing writes to that any more when this has settled.
   *
   * @param index of the entry in the map
   * @throws GantryError `DUMP_DAMAGED`, `DUMP_MISSING`, `PACK_MISSING`, `STORE_*`; RangeError; the reason of the signal
   */
  async read(index: number, { signal = new AbortController().signal, room: given }: ReadFrameOptions = {}): Promise<PlainFrame> {
    const entry = this.#entry(index);
    const { start } = entry;
    if (entry.kind === 'zeros') return { start, plain: { zeros: entry.plainBytes } };
    const memory = given ?? Buffer.allocUnsafe(this.room(index));
    const [room = memory, stored = memory, base = memory.subarray(0, 0)] = divide(memory, this.#sizes(entry));
    const outputs = [stored, base];
    const reading = placesOf(entry).map((place, number) => fillFromPlace(this.#packs.open, place, outputs[number] ?? base, signal));
    await Promise.allSettled(reading);
    await inFrame(this.#packs.damaged, { index, entry }, Promise.all(reading));
    using _contexts = this.#decoder.use();
    return { start, plain: await this.#decoder.decode({ index, entry, stored, base, room }) };
  }

  #entry(index: number): PlacedEntry {
    const entry = this.#map.at(index);
    if (entry === undefined) throw new RangeError(`there is no frame ${index}`);
    return entry;
  }

  /** Of the memory for the plain frame, and of what is stored in each place. */
  #sizes(entry: PlacedEntry): readonly number[] {
    return entry.kind === 'zeros' ? [] : [this.#decoder.room(entry), ...placesOf(entry).map(({ storedBytes }) => storedBytes)];
  }
}

/** Reads the stored bytes of one place into memory of the caller, which is not written to any more when this has settled. */
export async function fillFromPlace(open: OpenPackRange, place: PackPlace, output: Uint8Array, signal: AbortSignal): Promise<void> {
  await using source = await open(place, signal);
  await using reader = new DumpReader(abortable(source, signal));
  await reader.fill(output);
}
