import { chooseLevel } from './codecs/levels.ts';
import { codecNamed } from './codecs/registry.ts';
import { CONTENT_CUT } from './content-cutter.ts';
import { DigestIndex } from './digest-index.ts';
import type { DumpFailure, EncodedDump, EncodeOptions } from './encode-dump.ts';
import { pipelineOptions } from './encode-dump.ts';
import type { FrameCodec } from './frame-codec.ts';
import { assertMapHasSpace, FrameMap, MAX_MADE_ENTRIES } from './frame-map.ts';
import type { BaseFrames, CompressedFrame } from './frame-patcher.ts';
import { FramePatcher } from './frame-patcher.ts';
import type { FrameStages, PipelineOptions, PlacedFrame, PlacedUnchanged, TakenFrame, TakeTurn } from './frame-pipeline.ts';
import { throughFrames } from './frame-pipeline.ts';
import type { ZeroFrames } from './framer.ts';
import type { KnownFrames, StoredFrame } from './known-frames.ts';
import type { PackTotals } from './pack-output.ts';
import { PackOutput } from './pack-output.ts';
import type { ChangesReader } from './plain-reader.ts';
import type { DumpProgress } from './types.ts';
import { sha256OnThread } from '../system/sha256.ts';

export interface EncodeIncrementOptions extends Omit<EncodeOptions, 'withMap'> {
  /** What need not be stored again. */
  readonly known: KnownFrames;
  /** Frames end where the content says, not at multiples of the frame size. */
  readonly byContent?: boolean | undefined;
  /** Frames from which new ones may be stored as their difference; without them, new frames are stored whole. */
  readonly bases?: BaseFrames | undefined;
}

/**
 * Turns a plain stream into a pack with the frames that are not stored yet, and a map of all (docs/reference/formats/frame-maps.md). Only
 * these are compressed. Memory use grows with the map, by some 100 bytes for each frame.
 *
 * `stored` throws the errors of `source` and the signal's reason; RangeError for something unchanged that is not whole frames of the first
 * parent. It has no bytes if no frame is new.
 *
 * @throws GantryError `USAGE` for an invalid level or frame size
 */
export function encodeIncrement(source: ChangesReader, o: EncodeIncrementOptions): EncodedDump {
  const level = chooseLevel(o.codec, o.level);
  const codec = codecNamed(o.codec).frames(level ?? 0);
  const options: PipelineOptions =
    o.byContent === true ? { ...pipelineOptions(codec, { ...o, frameSize: CONTENT_CUT.max }), byContent: true } : pipelineOptions(codec, o);
  const patcher = o.bases && new FramePatcher({ ...options, codec, bases: o.bases });
  const map = new FrameMap();
  let totals: PackTotals | undefined;
  let failure: DumpFailure | undefined;
  const stored = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    using _contexts = codec.use();
    using pack = new PackOutput(codec, o);
    const output = { map, pack, maxEntries: o.maxMapEntries ?? MAX_MADE_ENTRIES, onProgress: o.onProgress };
    try {
      yield* throughFrames(source, new IncrementStages(codec, o.known, output, patcher), options);
    } catch (error) {
      if (o.endOnFailure !== true) throw error;
      failure = { error };
    }
    yield* pack.trailer();
    totals = await pack.totals();
  };
  const atEnd = (): PackTotals => {
    if (totals === undefined) throw new Error('the summary of a pack was requested before its end');
    return totals;
  };
  return {
    stored: stored(),
    summary: () => ({
      codec: o.codec,
      ...(level === undefined ? {} : { level }),
      frameSize: options.frameSize,
      ...atEnd(),
      plainBytes: map.plainBytes,
    }),
    table: () => undefined,
    map: () => map,
    failure: () => failure,
  };
}

/** A frame that is known, or stored anew. */
type MadeFrame = { readonly known: StoredFrame } | (CompressedFrame & { readonly sha256: Uint8Array });

interface IncrementOutput {
  readonly map: FrameMap;
  readonly pack: PackOutput;
  readonly maxEntries: number;
  readonly onProgress: DumpProgress | undefined;
}

class IncrementStages implements FrameStages<MadeFrame> {
  readonly #codec: FrameCodec;
  readonly #known: KnownFrames;
  readonly #output: IncrementOutput;
  readonly #patcher: FramePatcher | undefined;
  /** The frames of this pack, by their entries in the map. */
  readonly #own: DigestIndex;

  constructor(codec: FrameCodec, known: KnownFrames, output: IncrementOutput, patcher: FramePatcher | undefined) {
    this.#codec = codec;
    this.#known = known;
    this.#output = output;
    this.#patcher = patcher;
    this.#own = new DigestIndex((entry) => output.map.digestAt(entry));
  }

  async make(frame: PlacedFrame, turn: TakeTurn): Promise<MadeFrame> {
    const { start, plain, output } = frame;
    const sha256 = await turn(() => sha256OnThread(plain));
    const known = this.#known.find(start, plain.length, sha256) ?? this.#findOwn(sha256);
    if (known !== undefined) return { known };
    if (this.#patcher !== undefined) return { sha256, ...(await this.#patcher.compress(frame, turn)) };
    return { sha256, stored: await turn(() => this.#codec.compress(plain, output)) };
  }

  take(made: MadeFrame, { plain }: PlacedFrame): TakenFrame {
    assertMapHasSpace(this.#output.map, this.#output.maxEntries);
    const taken = 'known' in made ? this.#addKnown(made.known) : this.#addNew(made, plain.length);
    this.#report();
    return taken;
  }

  #addKnown(frame: StoredFrame): TakenFrame {
    this.#output.map.push(frame);
    return {};
  }

  #addNew({ sha256, stored, base }: Extract<MadeFrame, { stored: unknown }>, plainBytes: number): TakenFrame {
    const { map, pack } = this.#output;
    // An equal frame that was compressed at the same time may have come first.
    const same = this.#findOwn(sha256);
    if (same !== undefined) return this.#addKnown(same);
    const { offset, digested } = pack.frame(stored, plainBytes);
    const entry = { plainBytes, sha256, place: { pack: this.#known.packs, offset, storedBytes: stored.length } };
    map.push(base === undefined ? { kind: 'frame', ...entry } : { kind: 'patch', ...entry, base });
    this.#own.add(map.length - 1);
    return { bytes: stored, digested };
  }

  zeros({ count, plainBytes }: ZeroFrames): undefined {
    this.#output.map.pushZeros(count * plainBytes);
    this.#report();
  }

  unchanged({ start, unchanged }: PlacedUnchanged): void {
    const { map } = this.#output;
    for (const entry of this.#known.unchanged(start, unchanged)) {
      assertMapHasSpace(map, this.#output.maxEntries);
      if (entry.kind === 'zeros') map.pushZeros(entry.plainBytes);
      else map.push(entry);
    }
    this.#report();
  }

  #findOwn(sha256: Uint8Array): StoredFrame | undefined {
    const index = this.#own.find(sha256);
    const entry = index === undefined ? undefined : this.#output.map.at(index);
    return entry?.kind === 'zeros' ? undefined : entry;
  }

  #report(): void {
    const { map, pack, onProgress } = this.#output;
    onProgress?.(map.plainBytes, pack.storedBytes);
  }
}
