import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { ByteSource, CallOptions, CommitDigest, PendingObject, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { AssembledFrames, cutZeros, isCutByPlace } from '../frames/assembled-frames.ts';
import { checkAssembled } from '../frames/check-assembled.ts';
import { chooseLevel } from '../frames/codecs/levels.ts';
import { codecNamed } from '../frames/codecs/registry.ts';
import { entriesOf, MapDecoder } from '../frames/decode-map.ts';
import type { EncodedDump } from '../frames/encode-dump.ts';
import type { FrameCodec } from '../frames/frame-codec.ts';
import type { FrameMap, PackPlace, PlacedEntry } from '../frames/frame-map.ts';
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

  constructor(request: AssemblyRequest) {
    const { codec, level } = request.record;
    this.#request = request;
    this.#level = chooseLevel(codec, level);
    this.#codec = codecNamed(codec).frames(this.#level ?? 0);
    this.#frames = new AssembledFrames(this.#codec);
  }

  /** Stored bytes of the dump, before it is encrypted, so far. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Available after all of it was taken. */
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
    for await (const piece of this.#pieces(options)) {
      if ('range' in piece) await this.#appendRange(pending, piece.range, options);
      else await this.#append(pending, piece.chunks, options);
    }
    return { size: this.#storedBytes, sha256: this.#hash?.digest('hex') };
  }

  /** All of the dump, passing through here, to be encrypted anew. @throws as {@link append}, and as `openPack` of an encrypted pack */
  encoded(options: CallOptions): EncodedDump {
    return {
      stored: this.#passing(options),
      summary: () => this.#summary(),
      table: () => undefined,
      map: () => this.#frames.map,
    };
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
    const { map } = this.#frames;
    return { summary: { ...this.#summary(), sha256 }, map, table: isCutByPlace(map, record.frameSize) ? table : undefined };
  }

  /** Without its digest, which is known where it was read back or encrypted. */
  #summary(): DumpSummary {
    const { codec, frameSize, plainBytes } = this.#request.record;
    return {
      codec,
      ...(this.#level === undefined ? {} : { level: this.#level }),
      frameSize,
      frames: this.#frames.length,
      plainBytes,
      storedBytes: this.#storedBytes,
      sha256: '',
    };
  }

  async *#passing(options: CallOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const { store, disk } = this.#request;
    const { open } = storedPacks(store, disk);
    const signal = options.signal ?? new AbortController().signal;
    for await (const piece of this.#pieces(options)) {
      await using source = 'range' in piece ? await open(piece.range, signal) : undefined;
      yield* this.#counted(source ?? ('chunks' in piece ? piece.chunks : []));
    }
  }

  /** What the dump consists of, in its order. Frames that lie together in a pack are one piece. */
  async *#pieces(options: CallOptions): AsyncGenerator<Piece, void, undefined> {
    const { store, disk, map, budget, record, onProgress } = this.#request;
    const decoder = new MapDecoder(storedPacks(store, disk));
    using _contexts = decoder.use();
    using _own = this.#codec.use();
    const wanted = (_index: number, entry: PlacedEntry): boolean => this.#isEncoded(entry);
    await using encoded = new AsyncIterableReader(storedFrames(store, disk, map, { ...options, wanted, budget }));
    let range: PackPlace | undefined;
    for (const { entry } of entriesOf(map)) {
      const isCopied = entry.kind === 'frame' && !this.#isEncoded(entry);
      const longer = isCopied && range !== undefined ? joined(range, entry.place) : undefined;
      if (range !== undefined && longer === undefined) yield { range };
      range = isCopied ? (longer ?? entry.place) : undefined;
      if (isCopied) this.#frames.frame({ ...entry, storedBytes: entry.place.storedBytes });
      else if (entry.kind === 'zeros') yield* this.#zeros(cutZeros(entry.plainBytes, record.frameSize));
      else yield { chunks: [await this.#compress(decoder, await encoded.next())] };
      onProgress?.(entry.start + entry.plainBytes, this.#storedBytes);
    }
    if (range !== undefined) yield { range };
    // An empty disk has a frame anyway, where an empty file would not be valid.
    if (this.#frames.length < this.#codec.minFrames) yield* this.#zeros([{ count: 1, plainBytes: 0 }]);
    yield { chunks: this.#codec.trailer(this.#frames) };
    if (map.plainBytes !== record.plainBytes) throw new TypeError('the frame map is of another disk');
  }

  #isEncoded(entry: PlacedEntry): boolean {
    if (entry.kind === 'zeros') return false;
    return entry.kind === 'patch' || this.#request.disk.packs[entry.place.pack]?.codec !== this.#request.record.codec;
  }

  *#zeros(runs: ReturnType<typeof cutZeros>): Generator<Piece, void, undefined> {
    const frames = runs.map((run) => ({ ...run, stored: this.#codec.zeroFrame(run.plainBytes) }));
    this.#frames.zeros(
      runs.reduce((sum, { count, plainBytes }) => sum + count * plainBytes, 0),
      frames.map(({ stored, ...run }) => ({ ...run, storedBytes: stored.length })),
    );
    for (const { stored, count } of frames) yield { chunks: repeated(stored, count) };
  }

  async #compress(decoder: MapDecoder, frame: StoredFrame): Promise<Uint8Array> {
    const { entry } = frame;
    const plain = await decoder.decode({ ...frame, room: Buffer.allocUnsafe(decoder.room(entry)) });
    const stored = await this.#codec.compress(plain, Buffer.allocUnsafe(this.#codec.storedBound(plain.length)));
    this.#frames.frame({ plainBytes: entry.plainBytes, sha256: entry.sha256, storedBytes: stored.length });
    return stored;
  }

  async #appendRange(pending: PendingObject, range: PackPlace, options: CallOptions): Promise<void> {
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

  async #append(pending: PendingObject, chunks: Chunks, options: CallOptions): Promise<void> {
    await pending.append(this.#counted(chunks), options);
  }

  async *#counted(chunks: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      this.#hash?.update(chunk);
      this.#storedBytes += chunk.length;
      this.#passedBytes += chunk.length;
      yield chunk;
    }
  }
}

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** A part of a dump: from a pack as it is there, or new bytes. */
type Piece = { readonly range: PackPlace } | { readonly chunks: Iterable<Uint8Array> };

/** Both, if the second lies right behind the first. */
function joined(first: PackPlace, { pack, offset, storedBytes }: PackPlace): PackPlace | undefined {
  if (first.pack !== pack || first.offset + first.storedBytes !== offset) return undefined;
  return { ...first, storedBytes: first.storedBytes + storedBytes };
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
