import { chooseLevel } from './codecs/levels.ts';
import { codecNamed } from './codecs/registry.ts';
import { DigestIndex } from './digest-index.ts';
import type { EncodedDump, EncodeOptions } from './encode-dump.ts';
import { pipelineOptions } from './encode-dump.ts';
import type { FrameCodec } from './frame-codec.ts';
import { FrameMap } from './frame-map.ts';
import type { FrameStages, PlacedFrame, PlacedUnchanged, TakenFrame } from './frame-pipeline.ts';
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
}

/**
 * Turns a plain stream into a pack with the frames that are not stored yet, and a map of all (docs/reference/formats/frame-maps.md). Only
 * these are compressed. Memory use grows with the map, by less than 100 bytes for each frame.
 *
 * `stored` throws the errors of `source` and the signal's reason; RangeError for something unchanged that is not whole frames of the first
 * parent. It has no bytes if no frame is new.
 *
 * @throws GantryError `USAGE` for an invalid level or frame size
 */
export function encodeIncrement(source: ChangesReader, o: EncodeIncrementOptions): EncodedDump {
  const level = chooseLevel(o.codec, o.level);
  const codec = codecNamed(o.codec).frames(level ?? 0);
  const options = pipelineOptions(codec, o);
  const map = new FrameMap();
  let totals: PackTotals | undefined;
  const stored = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    using _contexts = codec.use();
    using pack = new PackOutput(codec);
    yield* throughFrames(source, new IncrementStages(codec, o.known, { map, pack, onProgress: o.onProgress }), options);
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
  };
}

/** A frame that is known, or stored anew. */
type MadeFrame = { readonly known: StoredFrame } | { readonly sha256: Uint8Array; readonly stored: Uint8Array };

interface IncrementOutput {
  readonly map: FrameMap;
  readonly pack: PackOutput;
  readonly onProgress: DumpProgress | undefined;
}

class IncrementStages implements FrameStages<MadeFrame> {
  readonly #codec: FrameCodec;
  readonly #known: KnownFrames;
  readonly #output: IncrementOutput;
  /** The frames of this pack, by their entries in the map. */
  readonly #own: DigestIndex;

  constructor(codec: FrameCodec, known: KnownFrames, output: IncrementOutput) {
    this.#codec = codec;
    this.#known = known;
    this.#output = output;
    this.#own = new DigestIndex((entry) => output.map.digestAt(entry));
  }

  async make({ start, plain, output }: PlacedFrame): Promise<MadeFrame> {
    const sha256 = await sha256OnThread(plain);
    const known = this.#known.find(start, plain.length, sha256) ?? this.#findOwn(sha256);
    return known === undefined ? { sha256, stored: await this.#codec.compress(plain, output) } : { known };
  }

  take(made: MadeFrame, { plain }: PlacedFrame): TakenFrame {
    const taken = 'known' in made ? this.#addKnown(made.known) : this.#addNew(made, plain.length);
    this.#report();
    return taken;
  }

  #addKnown(frame: StoredFrame): TakenFrame {
    this.#output.map.push(frame);
    return {};
  }

  #addNew({ sha256, stored }: Extract<MadeFrame, { stored: unknown }>, plainBytes: number): TakenFrame {
    const { map, pack } = this.#output;
    // An equal frame that was compressed at the same time may have come first.
    const same = this.#findOwn(sha256);
    if (same !== undefined) return this.#addKnown(same);
    const { offset, digested } = pack.frame(stored, plainBytes);
    map.push({ kind: 'frame', plainBytes, sha256, place: { pack: this.#known.packs, offset, storedBytes: stored.length } });
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
