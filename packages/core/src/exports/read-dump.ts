import { GantryError } from '../report/errors.ts';
import { decodeDump, decodeDumpByTable } from '../frames/decode-dump.ts';
import { decodeMap } from '../frames/decode-map.ts';
import type { FrameTable } from '../frames/frame-table.ts';
import type { MemoryBudget } from '../frames/memory-budget.ts';
import type { DumpProgress, PlainPiece } from '../frames/types.ts';
import type { StoredDump, StoredExport } from './open-export.ts';

export interface ReadDumpOptions {
  /** Shared by all dumps that are read at once. */
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
  readonly warn: (message: string, disk: number) => void;
}

/**
 * The plain data of one disk of an export: by its frame map or its frame table, or from the dump's start to its end where there is
 * neither. No byte of a frame is handed on before the frame was checked.
 *
 * @throws GantryError `DUMP_DAMAGED`, `DUMP_MISSING`, `MAP_DAMAGED`, `PACK_MISSING`, `CODEC_UNKNOWN`, `STORE_*`; the reason of the signal
 */
export async function* readDump(found: StoredExport, dump: StoredDump, o: ReadDumpOptions): AsyncGenerator<PlainPiece, void, undefined> {
  const { budget, signal, onProgress } = o;
  const { codec, record, name } = dump;
  const mapped = await found.mapped(dump.index, { signal });
  if (mapped !== undefined) {
    yield* decodeMap(mapped.map, { ...mapped.packs, budget, signal, onProgress });
    return;
  }
  const table = await usableTable(found, dump, o);
  if (table !== undefined && record !== undefined && found.rangedRead) {
    const open = (offset: number, length: number): ReturnType<StoredExport['dump']> => found.dump(name, { offset, length, signal });
    yield* decodeDumpByTable(open, { codec, framed: record, table, budget, signal, onProgress });
    return;
  }
  await using stored = await found.dump(name, { signal });
  yield* decodeDump(stored, { codec, framed: record, table, budget, signal, onProgress });
}

/** A dump whose frame table is lost can still be read, checked by its frames and its SHA-256. */
async function usableTable(found: StoredExport, { index }: StoredDump, o: ReadDumpOptions): Promise<FrameTable | undefined> {
  try {
    return await found.frameTable(index, { signal: o.signal });
  } catch (error) {
    if (!(error instanceof GantryError) || error.code !== 'MANIFEST_DAMAGED') throw error;
    o.warn(`${error.message}; the dump is read without it`, index);
    return undefined;
  }
}
