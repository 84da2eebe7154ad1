import { crc32 } from 'node:zlib';
import type { Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { parseExportReference } from '../src/exports/export-id.ts';
import { readManifest } from '../src/exports/examine.ts';
import { readFrameMap } from '../src/exports/frame-maps.ts';
import { openExport } from '../src/exports/open-export.ts';
import type { ParentDisk } from '../src/exports/parents.ts';
import { confirmParents, packsOfParent, parentReferences, ParentUnusable } from '../src/exports/parents.ts';
import { readDump } from '../src/exports/read-dump.ts';
import { Sealing } from '../src/exports/sealing.ts';
import { storeSink } from '../src/exports/store-sink.ts';
import { dumpFileName, packFileName } from '../src/exports/layout.ts';
import { digestBytes } from '../src/exports/small-object.ts';
import type { EncodedDump } from '../src/frames/encode-dump.ts';
import type { PackPlace } from '../src/frames/frame-map.ts';
import { FrameMap } from '../src/frames/frame-map.ts';
import { FrameTable } from '../src/frames/frame-table.ts';
import { MemoryBudget } from '../src/frames/memory-budget.ts';
import { chunksOf, sampleHeader, sampleInstance } from './sample-export.ts';

/*
 * Exports by the real sink, with parents that the caller chooses, and frames so small that thousands of them are nothing.
 */

/** Plain bytes of every frame. */
const FRAME_BYTES = 4;

/** The disk with these frames, each a text of at most four characters; an empty one is zeros. */
export function diskOf(frames: readonly string[]): Buffer {
  return Buffer.concat(frames.map(plainOf));
}

function plainOf(frame: string): Buffer {
  return frame === '' ? Buffer.alloc(FRAME_BYTES) : Buffer.from(frame.padEnd(FRAME_BYTES, '.'));
}

export interface SinkExport {
  readonly instance: string;
  readonly started: Date;
  /** Of the only disk: see {@link diskOf}. */
  readonly frames: readonly string[];
  /** `INSTANCE@EXPORT-ID`: its frames are used. Without one, the export is complete by itself. */
  readonly parent?: string | undefined;
  /** Seals it; `store` must open what they read. Its frames are shared with sealed exports alone. */
  readonly recipients?: Recipients | undefined;
  readonly runId: string;
  /** The note of the manifest. */
  readonly note: string;
}

/** Makes an export as `gantry export --incremental` does: if the parent turns out to be unusable, without it. @returns its reference */
export async function exportBySink(store: Store, request: SinkExport): Promise<string> {
  const found = request.parent === undefined ? undefined : await parentOf(store, request.parent);
  const isSealed = request.recipients !== undefined;
  const parent = found !== undefined && (found.manifest.sealed !== undefined) === isSealed ? found : undefined;
  try {
    return await tryToExport(store, request, parent);
  } catch (error) {
    if (!(error instanceof ParentUnusable)) throw error;
    return await tryToExport(store, request, undefined);
  }
}

async function parentOf(store: Store, reference: string): Promise<ParentDisk | undefined> {
  const { instance, id = '' } = parseExportReference(reference);
  const manifest = await readManifest(store, { instance, id }, {});
  const [record] = manifest.dumps;
  return record && { disk: record.index, manifest, record };
}

async function tryToExport(store: Store, request: SinkExport, parent: ParentDisk | undefined): Promise<string> {
  const { instance, started, frames, runId, note } = request;
  const parents = parent === undefined ? [] : [parent];
  const header = { ...sampleHeader, instance, started: started.toISOString(), runId, parents: parentReferences(parents) };
  const sealing = request.recipients && (await Sealing.start(request.recipients));
  await using writer = await storeSink(store, { sealing }).open(header);
  await confirmParents(store, parents, {});
  const packs = parents.flatMap(packsOfParent);
  const encoded = parent === undefined ? completeDump(frames) : packDump(frames, packs.length, await placesOf(store, parent));
  const name = (parent === undefined ? dumpFileName : packFileName)(0, 'none', { sealed: sealing });
  await using dump = await writer.dump(name, { map: { disk: 0, cut: 'place', packs } });
  const written = await dump.write(sealing === undefined ? encoded : sealing.sealDump(encoded));
  const { tool } = sampleHeader;
  const { instance: described, os } = { instance: { ...sampleInstance, name: instance }, os: { name: 'debootstrap', apiVersion: 20 } };
  const times = { started: header.started, ended: new Date(started.getTime() + 60_000).toISOString() };
  const record = { ...written, index: 0, name, messages: [], snapshot: 'none' };
  await writer.commit({ format: 'gantry-export', tool, exportId: writer.id, ...times, os, instance: described, note, dumps: [record] });
  return writer.reference;
}

/** Where the frames of a parent are, by their SHA-256. */
async function placesOf(store: Store, { manifest, record }: ParentDisk): Promise<ReadonlyMap<string, PackPlace>> {
  const places = new Map<string, PackPlace>();
  for (const entry of (await readFrameMap(store, manifest, record)) ?? [])
    if (entry.kind !== 'zeros') places.set(Buffer.from(entry.sha256).toString('hex'), entry.place);
  return places;
}

/** A dump that is complete by itself, with a frame map. */
function completeDump(frames: readonly string[]): EncodedDump {
  const table = new FrameTable();
  const map = new FrameMap();
  for (const [index, frame] of frames.entries()) {
    const plain = plainOf(frame);
    table.push({ storedBytes: FRAME_BYTES, isZeros: frame === '', checksum: crc32(plain) });
    pushFrame(map, frame, { pack: 0, offset: index * FRAME_BYTES, storedBytes: FRAME_BYTES });
  }
  return encodedDump(diskOf(frames), { frames: frames.length, table, map });
}

/** A pack with the frames that are not known. @param own its number */
function packDump(frames: readonly string[], own: number, known: ReadonlyMap<string, PackPlace>): EncodedDump {
  const map = new FrameMap();
  const stored: string[] = [];
  for (const frame of frames) {
    const there = known.get(digestBytes(plainOf(frame)).sha256);
    pushFrame(map, frame, there ?? { pack: own, offset: stored.length * FRAME_BYTES, storedBytes: FRAME_BYTES });
    if (there === undefined && frame !== '') stored.push(frame);
  }
  return encodedDump(diskOf(stored), { frames: stored.length, table: undefined, map });
}

function pushFrame(map: FrameMap, frame: string, place: PackPlace): void {
  if (frame === '') map.pushZeros(FRAME_BYTES);
  else map.push({ kind: 'frame', plainBytes: FRAME_BYTES, sha256: Buffer.from(digestBytes(plainOf(frame)).sha256, 'hex'), place });
}

function encodedDump(
  stored: Buffer,
  { frames, table, map }: { readonly frames: number; readonly table: FrameTable | undefined; readonly map: FrameMap },
): EncodedDump {
  const { size: storedBytes, sha256 } = digestBytes(stored);
  return {
    stored: chunksOf(...(stored.length === 0 ? [] : [stored])),
    summary: () => ({ codec: 'none', frameSize: FRAME_BYTES, frames, plainBytes: map.plainBytes, storedBytes, sha256 }),
    table: () => table,
    map: () => map,
  };
}

/** The disk of an export, as an import reads it, and its note. @throws what reading throws */
export async function readSinkExport(store: Store, reference: string): Promise<{ readonly disk: Buffer; readonly note: string }> {
  const found = await openExport(store, reference);
  const [dump] = found.dumps;
  if (dump === undefined) throw new Error(`${reference} has no dump`);
  const { signal } = new AbortController();
  const warn = (message: string): void => {
    throw new Error(message);
  };
  const pieces: Buffer[] = [];
  for await (const piece of readDump(found, dump, { budget: new MemoryBudget(1024 * 1024), signal, warn }))
    pieces.push(piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(piece.zeros));
  return { disk: Buffer.concat(pieces), note: found.manifest?.note ?? '' };
}
