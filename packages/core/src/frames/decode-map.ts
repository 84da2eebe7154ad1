import type { Codec } from './codecs/registry.ts';
import { codecsForReading } from './decode-dump.ts';
import { decompress } from './decode-job.ts';
import type { DecodeJob } from './decode-job.ts';
import { decodedPieces } from './decode-frames.ts';
import { FormatProblem } from './damage.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FrameInMap, FrameMap, PatchInMap } from './frame-map.ts';
import type { FetchedFrame } from './map-frames.ts';
import { fetchFrames } from './map-frames.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { IndexedEntry, OpenPackRange } from './pack-runs.ts';
import type { DumpProgress, PlainPiece } from './types.ts';
import { FRAMES_AHEAD, sharedWorkQueue } from './work-queue.ts';
import { DIGEST_BYTES, sha256OnThread } from '../system/sha256.ts';

/** The packs of a map, and how to say that something in them is wrong. */
export interface MapPacks {
  /** By the number of the pack. */
  readonly codecs: readonly Codec[];
  readonly open: OpenPackRange;
  /** The error for a frame that is damaged. */
  readonly damaged: (frame: IndexedEntry, problem: FormatProblem) => Error;
}

export interface DecodeMapOptions extends MapPacks {
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  /** Its stored bytes are those that were read. */
  readonly onProgress?: DumpProgress | undefined;
}

/** Frames that are read or decoded at once: more than for a dump, since they come from several packs, and most if they are small. */
const MORE_AHEAD = 3;
const MAX_AHEAD = 16;
const AHEAD_BYTES = 24 * 1024 * 1024;

/**
 * The plain stream of a disk by its frame map. A frame is yielded only after its SHA-256 was found to be that of the map.
 *
 * @throws what `damaged` returns, and the errors of `open`; the reason of the signal
 */
export async function* decodeMap(map: FrameMap, o: DecodeMapOptions): AsyncGenerator<PlainPiece, void, undefined> {
  const decoder = new MapDecoder(o);
  using _contexts = decoder.use();
  const memory = o.budget.share();
  const work = sharedWorkQueue();
  const start = async function* (signal: AbortSignal): AsyncGenerator<DecodeJob, void, undefined> {
    let storedEnd = 0;
    for await (const fetched of fetchFrames(entriesOf(map), { ...o, memory, room: (entry) => decoder.room(entry) }, signal)) {
      if (!('read' in fetched)) {
        yield { zeros: fetched.entry.plainBytes, storedEnd };
        continue;
      }
      storedEnd += fetched.stored.length + fetched.base.length;
      const plain = decoder.decode(fetched, (decoding) => fetched.read.then(() => work.run(signal, decoding)));
      // A failure is handled when its turn comes.
      plain.catch(() => undefined);
      yield { buffer: fetched.buffer, plain, storedEnd };
    }
  };
  yield* decodedPieces(start, {
    ...o,
    memory,
    ahead: Math.max(work.limit + FRAMES_AHEAD + MORE_AHEAD, smallFramesAhead(map)),
    onProgress: o.onProgress,
  });
}

function smallFramesAhead(map: FrameMap): number {
  let frames = 0;
  let bytes = 0;
  for (const { kind, plainBytes } of map) {
    if (kind === 'zeros') continue;
    frames += 1;
    bytes += plainBytes;
  }
  return Math.min(MAX_AHEAD, Math.floor((AHEAD_BYTES * frames) / Math.max(1, bytes)));
}

/** Every entry of a map, with its index. */
export function* entriesOf(map: FrameMap): Generator<IndexedEntry, void, undefined> {
  let index = 0;
  for (const entry of map) {
    yield { index, entry };
    index += 1;
  }
}

/** What a frame is decoded from. */
type StoredFrame = Pick<FetchedFrame, 'index' | 'entry' | 'stored' | 'base' | 'room'>;

/** Decodes frames, and checks them. */
export class MapDecoder {
  readonly #codecs: readonly FrameCodec[];
  readonly #damaged: MapPacks['damaged'];

  constructor({ codecs, damaged }: MapPacks) {
    this.#codecs = codecsForReading(codecs);
    this.#damaged = damaged;
  }

  /** Keeps the resources of its codecs until disposed. */
  use(): Disposable {
    const all = new DisposableStack();
    for (const codec of new Set(this.#codecs)) all.use(codec.use());
    return all;
  }

  /** Bytes of memory that decoding a frame needs. */
  room(entry: FrameInMap | PatchInMap): number {
    return (
      this.#spaceFor(entry.place.pack, entry.plainBytes) +
      (entry.kind === 'frame' ? 0 : this.#spaceFor(entry.base.pack, entry.base.plainBytes))
    );
  }

  /**
   * @param run runs what it gets once the stored bytes are there
   * @returns a part of `room`, or of `stored` where frames are stored as they are
   * @throws what `damaged` returns
   */
  async decode(
    frame: StoredFrame,
    run: (decoding: () => Promise<Uint8Array>) => Promise<Uint8Array> = (decoding) => decoding(),
  ): Promise<Uint8Array> {
    return await inFrame(
      this.#damaged,
      frame,
      run(() => this.#decode(frame)),
    );
  }

  async #decode(frame: StoredFrame): Promise<Uint8Array> {
    const plain = await this.#plain(frame);
    await assertDigest(plain, frame.entry.sha256);
    return plain;
  }

  async #plain({ entry, stored, base, room }: StoredFrame): Promise<Uint8Array> {
    if (entry.kind === 'frame') return await this.#decompress(entry.place.pack, entry.plainBytes, stored, room);
    const { patches } = this.#codec(entry.place.pack);
    if (patches === undefined) throw new FormatProblem('its codec does not have patches');
    const output = room.subarray(0, entry.plainBytes);
    const origin = await this.#decompress(entry.base.pack, entry.base.plainBytes, base, room.subarray(entry.plainBytes)).catch(
      asBaseProblem,
    );
    this.#codec(entry.place.pack).inspect(stored, entry.plainBytes);
    return await decompress({ decompress: (patch, into) => patches.decompress(patch, origin, into) }, stored, output);
  }

  async #decompress(pack: number, plainBytes: number, stored: Uint8Array, room: Uint8Array): Promise<Uint8Array> {
    const codec = this.#codec(pack);
    codec.inspect(stored, plainBytes);
    const space = this.#spaceFor(pack, plainBytes);
    return await decompress(codec, stored, space === 0 ? stored : room.subarray(0, space));
  }

  #codec(pack: number): FrameCodec {
    const codec = this.#codecs[pack];
    if (codec === undefined) throw new FormatProblem(`there is no pack ${pack}`);
    return codec;
  }

  /** A frame that is stored as it is needs no memory of its own. */
  #spaceFor(pack: number, plainBytes: number): number {
    return this.#codecs[pack]?.storedBound(plainBytes) === 0 ? 0 : plainBytes;
  }
}

/** Waits for `work`, and turns its {@link FormatProblem} into the error for this frame. */
export async function inFrame<T>(damaged: MapPacks['damaged'], frame: IndexedEntry, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof FormatProblem ? damaged(frame, error) : error;
  }
}

function asBaseProblem(error: unknown): never {
  if (!(error instanceof FormatProblem)) throw error;
  throw new FormatProblem(`the frame that it patches: ${error.message}`, { cause: error });
}

/** @throws FormatProblem */
async function assertDigest(plain: Uint8Array, expected: Uint8Array): Promise<void> {
  const found = await sha256OnThread(plain);
  if (Buffer.compare(found, expected) === 0 && expected.length === DIGEST_BYTES) return;
  throw new FormatProblem(`SHA-256 mismatch: got ${hex(found)}, expected ${hex(expected)}`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
