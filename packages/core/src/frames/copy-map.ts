import { orAbort } from '@gantry/transport';
import { readAhead } from '../system/read-ahead.ts';
import { sha256OnThread } from '../system/sha256.ts';
import type { Codec } from './codecs/registry.ts';
import { codecNamed } from './codecs/registry.ts';
import type { MapPacks } from './decode-map.ts';
import { entriesOf, inFrame, MapDecoder } from './decode-map.ts';
import { DigestIndex } from './digest-index.ts';
import type { EncodedDump } from './encode-dump.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { PatchBase } from './frame-map.ts';
import { FrameMap } from './frame-map.ts';
import type { KnownFrames } from './known-frames.ts';
import type { FetchedFrame } from './map-frames.ts';
import { fetchFrames } from './map-frames.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { IndexedEntry } from './pack-runs.ts';
import type { PackTotals } from './pack-output.ts';
import { PackOutput } from './pack-output.ts';
import type { DumpProgress } from './types.ts';
import { FRAMES_AHEAD, sharedWorkQueue } from './work-queue.ts';

/** Finds the frame that a patch needs where the copy goes; its stored bytes must be the same. */
export type FindBase = (base: PatchBase, stored: Uint8Array, codec: Codec, signal: AbortSignal) => Promise<PatchBase | undefined>;

export interface CopyMapOptions {
  /** The packs from which frames are read. */
  readonly packs: MapPacks;
  /** The frames to which the copy can refer. */
  readonly known: KnownFrames;
  /** Asked for the base of a patch that is not among `known`. */
  readonly findBase: FindBase;
  /** Of the pack that is made: frames that are stored in another one are compressed anew. */
  readonly codec: Codec;
  /** Absent for a codec without levels. */
  readonly level?: number | undefined;
  /** The most plain bytes that a frame has. */
  readonly frameSize: number;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
}

/**
 * A pack with the frames of a disk that are not known yet, as they are stored, and a frame map of all of them. Each frame is decoded and
 * compared with its SHA-256 before it is passed on. A patch stays one if the frame from which it differs is known, or comes along before
 * it; otherwise the frame is compressed as a whole.
 *
 * `stored` throws what `packs.damaged` returns, and the signal's reason. It has no bytes if no frame is new.
 */
export function copyMap(map: FrameMap, o: CopyMapOptions): EncodedDump {
  const copy = new MapCopy(map, o);
  return {
    stored: copy.stored(),
    summary: () => {
      const { codec, level, frameSize } = o;
      return { codec, ...(level === undefined ? {} : { level }), frameSize, ...copy.totals(), plainBytes: map.plainBytes };
    },
    table: () => undefined,
    map: () => copy.output,
  };
}

/** What is stored of a frame that is sent. */
interface MadeFrame {
  readonly bytes: Uint8Array;
  /** For a patch: where the frame is from which it differs, or the index of its entry in this map. */
  readonly base?: PatchBase | number | undefined;
  readonly plain: Uint8Array;
}

interface CopyJob {
  readonly fetched: FetchedFrame;
  readonly made: Promise<MadeFrame>;
}

class MapCopy {
  readonly output = new FrameMap();
  readonly #map: FrameMap;
  readonly #options: CopyMapOptions;
  readonly #codec: FrameCodec;
  readonly #decoder: MapDecoder;
  /** The first entry with each data. */
  readonly #first: DigestIndex;
  #totals: PackTotals | undefined;

  constructor(map: FrameMap, options: CopyMapOptions) {
    this.#map = map;
    this.#options = options;
    this.#codec = codecNamed(options.codec).frames(options.level ?? 0);
    this.#decoder = new MapDecoder(options.packs);
    this.#first = new DigestIndex((entry) => map.digestAt(entry));
    for (let entry = 0; entry < map.length; entry += 1) if (map.digestAt(entry) !== undefined) this.#first.add(entry);
  }

  totals(): PackTotals {
    if (this.#totals === undefined) throw new Error('the summary of a copy was requested before its end');
    return this.#totals;
  }

  async *stored(): AsyncGenerator<Uint8Array, void, undefined> {
    const { budget, signal } = this.#options;
    using _contexts = this.#codec.use();
    using _decoding = this.#decoder.use();
    using pack = new PackOutput(this.#codec);
    const memory = budget.share();
    const release = ({ fetched, made }: CopyJob, digested?: Promise<unknown>): void =>
      void Promise.allSettled([made, digested]).then(() => memory.release(fetched.buffer));
    const start = (inner: AbortSignal): AsyncGenerator<CopyJob, void, undefined> => this.#jobs(memory, inner);
    for await (const job of readAhead(start, sharedWorkQueue().limit + FRAMES_AHEAD, signal, release)) {
      let digested: Promise<unknown> | undefined;
      try {
        this.#passOver(job.fetched.index);
        const made = await orAbort(job.made, signal);
        const taken = await this.#take(job.fetched, made, pack);
        digested = taken.digested;
        yield taken.bytes;
        this.#report(pack);
      } finally {
        release(job, digested);
      }
    }
    this.#passOver(this.#map.length);
    yield* pack.trailer();
    this.#totals = await pack.totals();
    this.#report(pack);
  }

  async *#jobs(memory: ReturnType<MemoryBudget['share']>, signal: AbortSignal): AsyncGenerator<CopyJob, void, undefined> {
    const room = (entry: FetchedFrame['entry']): number => this.#decoder.room(entry);
    for await (const fetched of fetchFrames(this.#sent(), { open: this.#options.packs.open, memory, room }, signal)) {
      if (!('read' in fetched)) continue;
      const read = inFrame(this.#options.packs.damaged, fetched, fetched.read);
      const made = read.then(() => sharedWorkQueue().run(signal, () => this.#make(fetched, signal)));
      // A failure is handled when its turn comes.
      made.catch(() => undefined);
      yield { fetched, made };
    }
  }

  /** The entries whose frames are sent: those that are not known, each data once. */
  *#sent(): Generator<IndexedEntry, void, undefined> {
    for (const indexed of entriesOf(this.#map)) {
      const { index, entry } = indexed;
      if (entry.kind !== 'zeros' && this.#knownAt(index) === undefined && this.#sameBefore(index) === undefined) yield indexed;
    }
  }

  #knownAt(index: number) {
    const entry = this.#map.at(index);
    if (entry === undefined || entry.kind === 'zeros') return undefined;
    return this.#options.known.find(entry.start, entry.plainBytes, entry.sha256);
  }

  /** The index of an earlier entry with the same data. */
  #sameBefore(index: number): number | undefined {
    const entry = this.#map.at(index);
    const first = entry === undefined || entry.kind === 'zeros' ? undefined : this.#first.find(entry.sha256);
    // One that says another size lies about its data, which is found out when it is sent.
    return first === undefined || first >= index || this.#map.at(first)?.plainBytes !== entry?.plainBytes ? undefined : first;
  }

  /** Adds the entries before this one that are not sent. */
  #passOver(end: number): void {
    for (let index = this.output.length; index < end; index += 1) {
      const entry = this.#map.at(index);
      if (entry === undefined) throw new RangeError(`there is no entry ${index}`);
      const same = this.#knownAt(index) ?? this.output.at(this.#sameBefore(index) ?? -1);
      this.output.push(entry.kind === 'zeros' ? entry : (same ?? unplaced(index)));
    }
  }

  async #make(fetched: FetchedFrame, signal: AbortSignal): Promise<MadeFrame> {
    const { entry, stored } = fetched;
    const { codec, packs } = this.#options;
    const plain = await this.#decoder.decode(fetched);
    if (packs.codecs[entry.place.pack] !== codec) return { bytes: await this.#compress(plain), plain };
    if (entry.kind === 'frame') return { bytes: stored, plain };
    const base = await this.#baseOf(fetched, entry.base, signal);
    return base === undefined ? { bytes: await this.#compress(plain), plain } : { bytes: stored, base, plain };
  }

  async #baseOf({ index, entry, base, room }: FetchedFrame, place: PatchBase, signal: AbortSignal): Promise<MadeFrame['base']> {
    const { known, findBase, packs } = this.#options;
    const decoded = room.subarray(entry.plainBytes);
    // One that is stored as it is was not decoded into memory of its own.
    const sha256 = await sha256OnThread(decoded.length < place.plainBytes ? base : decoded.subarray(0, place.plainBytes));
    const frame = known.findWhole(place.plainBytes, sha256);
    if (frame !== undefined) return { ...frame.place, plainBytes: place.plainBytes };
    const own = this.#first.find(sha256);
    if (own !== undefined && own < index) return own;
    const codec = packs.codecs[place.pack];
    return codec === undefined ? undefined : await findBase(place, base, codec, signal);
  }

  async #take(
    { entry }: FetchedFrame,
    made: MadeFrame,
    pack: PackOutput,
  ): Promise<{ readonly bytes: Uint8Array; readonly digested: Promise<unknown> }> {
    const { plainBytes, sha256 } = entry;
    const base = typeof made.base === 'number' ? this.#ownBase(made.base) : made.base;
    // What was to be its base became a patch itself.
    const bytes = made.base !== undefined && base === undefined ? await this.#compress(made.plain) : made.bytes;
    const { offset, digested } = pack.frame(bytes, plainBytes);
    const place = { pack: this.#options.known.packs, offset, storedBytes: bytes.length };
    this.output.push(
      base === undefined ? { kind: 'frame', plainBytes, sha256, place } : { kind: 'patch', plainBytes, sha256, place, base },
    );
    return { bytes, digested };
  }

  #ownBase(index: number): PatchBase | undefined {
    const entry = this.output.at(index);
    return entry?.kind === 'frame' ? { ...entry.place, plainBytes: entry.plainBytes } : undefined;
  }

  async #compress(plain: Uint8Array): Promise<Uint8Array> {
    return await this.#codec.compress(plain, Buffer.allocUnsafe(this.#codec.storedBound(plain.length)));
  }

  #report(pack: PackOutput): void {
    this.#options.onProgress?.(this.output.plainBytes, pack.storedBytes);
  }
}

function unplaced(index: number): never {
  throw new RangeError(`entry ${index} has no place`);
}
