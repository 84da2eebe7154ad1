import type { CallOptions, Digest, Store } from '@gantry/transport';
import { FRAME_ENTRY_BYTES, FrameTable } from '../frames/frame-table.ts';
import { GantryError } from '../report/errors.ts';
import { asBuffer } from '../system/as-buffer.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { FRAMES_FILE } from './layout.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import { readExpected, UnreadableTextError } from './small-object.ts';
import { asGantryError } from './store-errors.ts';

/*
 * The object that says where each frame of an export is (docs/reference/formats/frame-tables.md): a header, then the frames of each
 * dump, in the order of the manifest.
 */

const MAGIC = 'GANTRYFT';
/** The version of the format, which is written and read. */
export const FRAME_TABLE_VERSION = 1;
const HEADER_BYTES = 16;
/** A reader holds all of it in memory: enough for 256 TiB in frames of 4 MiB. */
const MAX_TABLES_BYTES = 512 * 1024 ** 2;

/** How long the object for that many frames is, bytes. */
export function frameTablesBytes(frames: number): number {
  return HEADER_BYTES + frames * FRAME_ENTRY_BYTES;
}

export function encodeFrameTables(tables: readonly FrameTable[]): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, 'latin1');
  header.writeUInt32LE(FRAME_TABLE_VERSION, MAGIC.length);
  return Buffer.concat([header, ...tables.map((table) => table.encode())]);
}

/** The tables of an export's dumps, by the disk's index. */
export type FrameTables = ReadonlyMap<number, FrameTable>;

/**
 * Reads the frame tables of an export. One whose manifest is of version 1 has them only for dumps that are not compressed.
 *
 * @throws GantryError `MANIFEST_DAMAGED` where they are missing or not what the manifest says, `STORE_*`
 */
export async function readFrameTables(store: Store, manifest: Manifest, options: CallOptions): Promise<FrameTables> {
  const { frameTables, instance, exportId, dumps } = manifest;
  if (frameTables === undefined) return tablesOfVersion1(dumps);
  const reference = formatExportReference(instance.name, exportId);
  const bytes = await fetch(store, `${exportPrefix(instance.name, exportId)}${FRAMES_FILE}`, reference, frameTables, options);
  const tables = new Map<number, FrameTable>();
  let at = HEADER_BYTES;
  for (const { index, frames } of dumps) {
    const end = at + frames * FRAME_ENTRY_BYTES;
    tables.set(index, FrameTable.decode(bytes.subarray(at, end)));
    at = end;
  }
  return tables;
}

/** Frames that are stored as they are lie where they lie in the disk. */
function tablesOfVersion1(dumps: readonly DumpRecord[]): FrameTables {
  const tables = new Map<number, FrameTable>();
  for (const { index, frameSize, frames, plainBytes, frameCrc32 } of dumps) {
    if (frameCrc32 === undefined) continue;
    const checksums = Buffer.from(frameCrc32, 'base64');
    const table = new FrameTable();
    for (let frame = 0; frame < frames; frame += 1) {
      const storedBytes = Math.min(frameSize, plainBytes - frame * frameSize);
      table.push({ storedBytes, isZeros: false, checksum: checksums.readUInt32BE(frame * 4) });
    }
    tables.set(index, table);
  }
  return tables;
}

async function fetch(store: Store, key: string, reference: string, expected: Digest, options: CallOptions): Promise<Uint8Array> {
  const limited = { ...expected, size: Math.min(expected.size, MAX_TABLES_BYTES) };
  const bytes = await readExpected(store, key, limited, options).catch((error: unknown) => {
    if (error instanceof UnreadableTextError) throw damaged(reference, error.message, error);
    throw asGantryError(error, store.address);
  });
  const header = asBuffer(bytes);
  const isTable = header.length >= HEADER_BYTES && header.toString('latin1', 0, MAGIC.length) === MAGIC;
  if (!isTable || header.readUInt32LE(MAGIC.length) !== FRAME_TABLE_VERSION) {
    throw damaged(reference, `it is not a frame table of version ${FRAME_TABLE_VERSION}`);
  }
  return bytes;
}

function damaged(reference: string, what: string, cause?: unknown): GantryError {
  return new GantryError('MANIFEST_DAMAGED', {
    message: `${FRAMES_FILE} of ${reference} is damaged: ${what}`,
    hint: 'The dumps may still be intact: check them with sha256sum -c SHA256SUMS.',
    cause,
  });
}
