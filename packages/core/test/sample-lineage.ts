import type { Store } from '@gantry/transport';
import type { PackRecord } from '../src/exports/packs.ts';
import type { MappedDisk } from '../src/exports/pack-sources.ts';
import type { Codec } from '../src/frames/codecs/registry.ts';
import type { DumpRecord, Manifest } from '../src/exports/manifest.ts';
import { renderExportConfig } from '../src/exports/config-export.ts';
import { exportPrefix, formatExportReference, makeExportId } from '../src/exports/export-id.ts';
import { renderFrameMap } from '../src/exports/frame-map-text.ts';
import { CONFIG_FILE, dumpFileName, MANIFEST_FILE, mapFileName, SUMS_FILE } from '../src/exports/layout.ts';
import { renderManifest } from '../src/exports/manifest.ts';
import { objectsOfOthers, ownObjects } from '../src/exports/export-objects.ts';
import { renderSha256Sums } from '../src/exports/sha256sums.ts';
import { digestBytes, digestText } from '../src/exports/small-object.ts';
import { storeSink } from '../src/exports/store-sink.ts';
import { codecNamed } from '../src/frames/codecs/registry.ts';
import { encodeDump } from '../src/frames/encode-dump.ts';
import { FrameMap } from '../src/frames/frame-map.ts';
import type { FrameCodec } from '../src/frames/frame-codec.ts';
import { isZero } from '../src/frames/zeros.ts';
import { overwritten, readerOf } from '../src/frames/testing/streams.ts';
import { put, sampleHeader, sampleInstance, sampleManifest, sha256 } from './sample-export.ts';

/*
 * Exports of a lineage, made by hand: what reading relies on is then not what writing does.
 */

/** Plain bytes of all frames but the last of a full export. */
export const SAMPLE_FRAME_BYTES = 64 * 1024;

/** Where a frame is that an earlier export has. */
interface KnownFrame {
  readonly pack: PackRecord;
  readonly offset: number;
  readonly storedBytes: number;
  readonly plain: Uint8Array;
}

export interface SampleOptions {
  /** Stores a new frame as its difference from the one that was in its place, if that is stored whole. */
  readonly patches?: boolean;
  /** Of the own pack. */
  readonly codec?: Codec;
  readonly os?: string;
}

export interface MappedExport {
  readonly reference: string;
  readonly disk: MappedDisk;
  readonly map: FrameMap;
  readonly manifest: Manifest;
}

/** Disk 0 of one instance, exported day by day. */
export class SampleLineage {
  readonly #store: Store;
  /** By their SHA-256: only whole frames. */
  readonly #known = new Map<string, KnownFrame>();
  #before: readonly Uint8Array[] = [];
  #day = 20;

  constructor(store: Store) {
    this.#store = store;
  }

  /** A full export, as every version makes it: of frames of {@link SAMPLE_FRAME_BYTES}. */
  async full(frames: readonly Uint8Array[], codec: Codec = 'zstd', os = sampleInstance.os): Promise<string> {
    const { started } = this.#nextDay();
    await using writer = await storeSink(this.#store, { createStore: true }).open({ ...sampleHeader, started });
    const { signal } = new AbortController();
    const encoded = encodeDump(readerOf(overwritten(frames)), { codec, frameSize: SAMPLE_FRAME_BYTES, signal });
    const name = dumpFileName(0, codec);
    await using dump = await writer.dump(name);
    const summary = await dump.write(encoded);
    const record: DumpRecord = { ...summary, index: 0, name, messages: [], snapshot: 'none' };
    await writer.commit({ ...sampleManifest(writer.id, [record], { ...sampleInstance, os }), started });
    const pack = { instance: sampleInstance.name, exportId: writer.id, name, codec, size: summary.storedBytes, sha256: summary.sha256 };
    let offset = 0;
    for (const [index, { storedBytes }] of [...(encoded.table() ?? [])].entries()) {
      this.#remember({ pack, offset, storedBytes, plain: frames[index] ?? Buffer.of() });
      offset += storedBytes;
    }
    this.#before = frames;
    return writer.reference;
  }

  /** An export that stores only what those before lack. Frames may have any size. */
  async incremental(frames: readonly Uint8Array[], o: SampleOptions = {}): Promise<MappedExport> {
    const { codec: codecName = 'zstd', os = sampleInstance.os } = o;
    const { started, exportId } = this.#nextDay();
    const { name: instance } = sampleInstance;
    const codec = codecNamed(codecName).frames(3);
    const name = `disk0.pack${codecNamed(codecName).suffix}`;
    const own: Uint8Array[] = [];
    let ownBytes = 0;
    const plainSizes: number[] = [];
    const listed = {
      get length() {
        return own.length;
      },
      at: (index: number) => ({ storedBytes: own[index]?.length ?? 0, plainBytes: plainSizes[index] ?? 0 }),
    };
    const store = (bytes: Uint8Array, plainBytes: number): { readonly offset: number; readonly storedBytes: number } => {
      own.push(Buffer.from(bytes));
      plainSizes.push(plainBytes);
      ownBytes += bytes.length;
      return { offset: ownBytes - bytes.length, storedBytes: bytes.length };
    };
    const packs: PackRecord[] = [];
    const numberOf = (pack: PackRecord): number => {
      const number = packs.findIndex((known) => known.exportId === pack.exportId);
      return number === -1 ? packs.push(pack) - 1 : number;
    };
    const ownPack = { instance, exportId, name, codec: codecName, size: 1, sha256: sha256('') };
    const map = new FrameMap();
    for (const [index, plain] of frames.entries()) {
      const plainBytes = plain.length;
      const digest = Buffer.from(sha256(plain), 'hex');
      const known = this.#known.get(digest.toString('hex'));
      const former = this.#known.get(sha256(this.#before[index] ?? Buffer.of()));
      if (isZero(plain)) map.push({ kind: 'zeros', plainBytes });
      else if (known !== undefined) map.push({ kind: 'frame', plainBytes, sha256: digest, place: placeIn(numberOf(known.pack), known) });
      else if (o.patches === true && former !== undefined && codec.patches !== undefined) {
        const output = Buffer.alloc(codec.storedBound(plainBytes));
        const place = placeIn(numberOf(ownPack), store(await codec.patches.compress(plain, former.plain, output), plainBytes));
        const base = { ...placeIn(numberOf(former.pack), former), plainBytes: former.plain.length };
        map.push({ kind: 'patch', plainBytes, sha256: digest, place, base });
      } else {
        const place = store(await compress(codec, plain), plainBytes);
        map.push({ kind: 'frame', plainBytes, sha256: digest, place: placeIn(numberOf(ownPack), place) });
        this.#remember({ pack: ownPack, ...place, plain });
      }
    }
    const bytes = Buffer.concat(own.length === 0 ? [] : [...own, ...codec.trailer(listed)]);
    const finished = { ...ownPack, size: bytes.length, sha256: sha256(bytes) };
    for (const frame of this.#known.values()) if (frame.pack === ownPack) this.#remember({ ...frame, pack: finished });
    this.#before = frames;
    const disk = { instance, exportId, disk: 0, packs: packs.map((pack) => (pack === ownPack ? finished : pack)) };
    const prefix = exportPrefix(instance, exportId);
    const text = Buffer.concat([...renderFrameMap(map, disk)]);
    if (bytes.length > 0) await put(this.#store, `${prefix}${name}`, bytes);
    await put(this.#store, `${prefix}${mapFileName(0)}`, text);
    const record: DumpRecord = {
      index: 0,
      name,
      codec: codecName,
      frameSize: Math.max(1, ...frames.map(({ length }) => length)),
      frames: own.length,
      plainBytes: map.plainBytes,
      storedBytes: bytes.length,
      sha256: finished.sha256,
      messages: [],
      map: { ...digestBytes(text), cut: 'place', packs: disk.packs },
      snapshot: 'none',
    };
    const { frameTables: _none, ...draft } = sampleManifest(exportId, [record], { ...sampleInstance, os });
    const manifest: Manifest = { ...draft, version: 3, started };
    const config = renderExportConfig(manifest);
    const sums = [...ownObjects(manifest), { name: CONFIG_FILE, sha256: digestText(config).sha256 }, ...objectsOfOthers(manifest)];
    await put(this.#store, `${prefix}${CONFIG_FILE}`, config);
    await put(this.#store, `${prefix}${SUMS_FILE}`, renderSha256Sums(sums));
    await put(this.#store, `${prefix}${MANIFEST_FILE}`, renderManifest(manifest));
    return { reference: formatExportReference(instance, exportId), disk, map, manifest };
  }

  #remember(frame: KnownFrame): void {
    this.#known.set(sha256(frame.plain), frame);
  }

  #nextDay(): { readonly started: string; readonly exportId: string } {
    this.#day += 1;
    const started = new Date(Date.UTC(2026, 10, this.#day, 8, 15));
    return { started: started.toISOString(), exportId: makeExportId(started, 1) };
  }
}

function placeIn(pack: number, { offset, storedBytes }: Pick<KnownFrame, 'offset' | 'storedBytes'>) {
  return { pack, offset, storedBytes };
}

async function compress(codec: FrameCodec, plain: Uint8Array): Promise<Uint8Array> {
  return await codec.compress(plain, Buffer.alloc(codec.storedBound(plain.length)));
}
