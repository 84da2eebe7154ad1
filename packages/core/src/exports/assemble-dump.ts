import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { ByteSource, CallOptions, CommitDigest, PendingObject, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { AssembledFrames, cutZeros, isCutByPlace } from '../frames/assembled-frames.ts';
import { checkAssembled } from '../frames/check-assembled.ts';
import { chooseLevel } from '../frames/codecs/levels.ts';
import { codecNamed } from '../frames/codecs/registry.ts';
import { entriesOf, MapDecoder } from '../frames/decode-map.ts';
import type { FrameCodec } from '../frames/frame-codec.ts';
import type { FrameInMap, FrameMap, PackPlace, PatchInMap, PlacedEntry } from '../frames/frame-map.ts';
import type { MemoryBudget } from '../frames/memory-budget.ts';
import type { DumpProgress, DumpSummary } from '../frames/types.ts';
import type { AssembledDump, CheckedDump } from './layout-dump.ts';
import { packKey } from './export-objects.ts';
import { packProblem, storedPacks } from './pack-sources.ts';
import type { MappedDisk } from './pack-sources.ts';
import type { DumpRecord } from './manifest.ts';
import type { StoredFrame } from './stored-frames.ts';
import { storedFrames } from './stored-frames.ts';

/** What is put together. */
export interface AssemblyRequest {
  readonly store: Store;
  /** The disk whose frames are put together, as its manifest says it. */
  readonly disk: MappedDisk;
  readonly record: DumpRecord;
  readonly map: FrameMap;
  /** Where the new dump is: for messages. */
  readonly exportId: string;
  readonly name: string;
  /** Shared by all dumps. */
  readonly budget: MemoryBudget;
  /** First while the dump is put together, then while it is read back. */
  readonly onProgress?: DumpProgress | undefined;
}

/** Where the bytes of a dump came from. */
export interface AssembledBytes {
  /** Copied within the store. */
  readonly copiedBytes: number;
  /** That passed through this machine on their way into the new dump. */
  readonly passedBytes: number;
}

const ZERO_CHUNK_BYTES = 1024 * 1024;

/**
 * The dump of one disk that is complete by itself, put together from frames that are in packs of several exports. What the store can copy
 * by itself does not pass through here. Patches, and frames in another codec, are compressed anew.
 */
export class DumpAssembly implements AssembledDump {
  readonly #request: AssemblyRequest;
  readonly #codec: FrameCodec;
  readonly #level: number | undefined;
  readonly #frames: AssembledFrames;
  /** Its digest, as far as the bytes pass through here alone. */
  #hash: Hash | undefined;
  #copiedBytes = 0;
  #passedBytes = 0;
  #storedBytes = 0;
  /** A range of a pack that is to be copied next. */
  #range: PackPlace | undefined;

  constructor(request: AssemblyRequest) {
    const { codec, level } = request.record;
    this.#request = request;
    this.#level = chooseLevel(codec, level);
    this.#codec = codecNamed(codec).frames(this.#level ?? 0);
    this.#frames = new AssembledFrames(this.#codec);
  }

  /** Available after `append`. */
  get bytes(): AssembledBytes {
    return { copiedBytes: this.#copiedBytes, passedBytes: this.#passedBytes };
  }

  /**
   * Appends all of the dump to an unfinished write.
   *
   * @throws GantryError `PACK_MISSING`, `DUMP_MISSING`, `DUMP_DAMAGED`; `USAGE` for more frames than a dump can have; StoreError; the
   *   reason of the signal
   */
  async append(pending: PendingObject, options: CallOptions): Promise<CommitDigest> {
    if (pending.appendRange === undefined) this.#hash = createHash('sha256');
    const { store, disk, map, budget, record, onProgress } = this.#request;
    const decoder = new MapDecoder(storedPacks(store, disk));
    using _contexts = decoder.use();
    using _own = this.#codec.use();
    const wanted = (_index: number, entry: PlacedEntry): boolean => this.#isEncoded(entry);
    await using encoded = new AsyncIterableReader(storedFrames(store, disk, map, { ...options, wanted, budget }));
    for (const { entry } of entriesOf(map)) {
      if (entry.kind === 'zeros') await this.#zeros(pending, entry.plainBytes, options);
      else if (entry.kind === 'patch' || this.#isEncoded(entry)) await this.#encode(pending, decoder, await encoded.next(), options);
      else await this.#copy(pending, entry, options);
      onProgress?.(entry.start + entry.plainBytes, this.#storedBytes);
    }
    // An empty disk has a frame anyway, where an empty file would not be valid.
    if (this.#frames.length < this.#codec.minFrames) await this.#zeroFrames(pending, [{ count: 1, plainBytes: 0 }], options);
    await this.#flush(pending, options);
    await this.#append(pending, this.#codec.trailer(this.#frames), options);
    if (map.plainBytes !== record.plainBytes) throw new TypeError('the frame map is of another disk');
    return { size: this.#storedBytes, sha256: this.#hash?.digest('hex') };
  }

  /**
   * Reads the dump back, and checks all of it.
   *
   * @throws GantryError `DUMP_DAMAGED`; the errors of the source; the reason of the signal
   */
  async check(source: ByteSource, { signal = new AbortController().signal }: CallOptions): Promise<CheckedDump> {
    const { store, disk, record, exportId, name, budget, onProgress } = this.#request;
    const { codec } = record;
    const own = { instance: disk.instance, exportId, name, codec, size: this.#storedBytes, sha256: '' };
    const decoder = new MapDecoder(storedPacks(store, { ...disk, exportId, packs: [own] }));
    const { sha256, table } = await checkAssembled(source, this.#frames, { codec: this.#codec, decoder, budget, signal, onProgress });
    const summary: DumpSummary = {
      codec,
      ...(this.#level === undefined ? {} : { level: this.#level }),
      frameSize: record.frameSize,
      frames: this.#frames.length,
      plainBytes: record.plainBytes,
      storedBytes: this.#storedBytes,
      sha256,
    };
    const { map } = this.#frames;
    return { summary, map, table: isCutByPlace(map, record.frameSize) ? table : undefined };
  }

  #isEncoded(entry: PlacedEntry): entry is PlacedEntry & (FrameInMap | PatchInMap) {
    if (entry.kind === 'zeros') return false;
    return entry.kind === 'patch' || this.#request.disk.packs[entry.place.pack]?.codec !== this.#request.record.codec;
  }

  async #zeros(pending: PendingObject, plainBytes: number, options: CallOptions): Promise<void> {
    await this.#zeroFrames(pending, cutZeros(plainBytes, this.#request.record.frameSize), options);
  }

  async #zeroFrames(pending: PendingObject, runs: ReturnType<typeof cutZeros>, options: CallOptions): Promise<void> {
    await this.#flush(pending, options);
    const frames = runs.map((run) => ({ ...run, stored: this.#codec.zeroFrame(run.plainBytes) }));
    this.#frames.zeros(
      runs.reduce((sum, { count, plainBytes }) => sum + count * plainBytes, 0),
      frames.map(({ stored, ...run }) => ({ ...run, storedBytes: stored.length })),
    );
    for (const { stored, count } of frames) await this.#append(pending, repeated(stored, count), options);
  }

  async #encode(pending: PendingObject, decoder: MapDecoder, frame: StoredFrame, options: CallOptions): Promise<void> {
    const { entry } = frame;
    await this.#flush(pending, options);
    const plain = await decoder.decode({ ...frame, room: Buffer.allocUnsafe(decoder.room(entry)) });
    const stored = await this.#codec.compress(plain, Buffer.allocUnsafe(this.#codec.storedBound(plain.length)));
    this.#frames.frame({ plainBytes: entry.plainBytes, sha256: entry.sha256, storedBytes: stored.length });
    await this.#append(pending, [stored], options);
  }

  /** Frames that lie together in a pack are copied at once. */
  async #copy(pending: PendingObject, { plainBytes, sha256, place }: FrameInMap, options: CallOptions): Promise<void> {
    const range = this.#range;
    if (range !== undefined && range.pack === place.pack && range.offset + range.storedBytes === place.offset) {
      this.#range = { ...range, storedBytes: range.storedBytes + place.storedBytes };
    } else {
      await this.#flush(pending, options);
      this.#range = place;
    }
    this.#frames.frame({ plainBytes, sha256, storedBytes: place.storedBytes });
  }

  async #flush(pending: PendingObject, options: CallOptions): Promise<void> {
    const range = this.#range;
    if (range === undefined) return;
    this.#range = undefined;
    const { store, disk } = this.#request;
    const pack = disk.packs[range.pack];
    if (pack === undefined) throw new RangeError(`there is no pack ${range.pack}`);
    const from = { key: packKey(pack), offset: range.offset, length: range.storedBytes };
    try {
      if (pending.appendRange === undefined) {
        await using source = await store.read(from.key, { ...options, offset: from.offset, length: from.length });
        await this.#append(pending, source, options);
        return;
      }
      const passed = await pending.appendRange(from, options);
      this.#passedBytes += passed;
      this.#copiedBytes += from.length - passed;
      this.#storedBytes += from.length;
    } catch (error) {
      throw isStoreError(error, 'not-found') ? packProblem(disk, pack, undefined, error) : error;
    }
  }

  async #append(pending: PendingObject, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options: CallOptions): Promise<void> {
    const counted = async function* (this: DumpAssembly): AsyncGenerator<Uint8Array, void, undefined> {
      for await (const chunk of chunks) {
        this.#hash?.update(chunk);
        this.#storedBytes += chunk.length;
        this.#passedBytes += chunk.length;
        yield chunk;
      }
    };
    await pending.append(counted.call(this), options);
  }
}

/** Many small frames in chunks of a usual size. */
function* repeated(frame: Uint8Array, count: number): Generator<Uint8Array, void, undefined> {
  if (frame.length === 0) return;
  const atOnce = Math.max(1, Math.min(count, Math.floor(ZERO_CHUNK_BYTES / frame.length)));
  const chunk = atOnce === 1 ? frame : Buffer.concat(Array.from({ length: atOnce }, () => frame));
  for (let left = count; left > 0; left -= atOnce) yield chunk.subarray(0, Math.min(left, atOnce) * frame.length);
}

/** Asks for one item after the other. */
class AsyncIterableReader<T> implements AsyncDisposable {
  readonly #items: AsyncIterator<T, void, undefined>;

  constructor(items: AsyncGenerator<T, void, undefined>) {
    this.#items = items;
  }

  async next(): Promise<T> {
    const step = await this.#items.next();
    if (step.done === true) throw new RangeError('there is no further frame');
    return step.value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#items.return?.();
  }
}
