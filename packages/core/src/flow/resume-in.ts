import type { FrameSource } from '../exports/frame-source.ts';
import { openFrameSource, sourceByMap } from '../exports/frame-source.ts';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { readDump } from '../exports/read-dump.ts';
import type { DigestedPart, Mended, WantedPart } from '../disks/mend-device.ts';
import { mendDevice } from '../disks/mend-device.ts';
import type { FrameMap, PlacedEntry } from '../frames/frame-map.ts';
import type { MemoryBudget } from '../frames/memory-budget.ts';
import type { PlainPiece } from '../frames/types.ts';
import { GantryError } from '../report/errors.ts';
import { sha256OnThread } from '../system/sha256.ts';
import { refuseUri } from './disk-source.ts';
import type { Session } from './session.ts';
import { assertStillUnused } from './target-use.ts';

/*
 * An import that was cut off goes on: what is on the disk already is compared instead of written. Nothing has to be remembered from the
 * first attempt, so it does not matter how that ended.
 */

/** A disk that is made equal to its dump. */
export interface ResumeInput {
  readonly found: StoredExport;
  readonly dump: StoredDump;
  readonly signal: AbortSignal;
  /** Shared by all disks. */
  readonly budget: MemoryBudget;
  readonly forceInUse: boolean;
  /** Sees the first piece of the data, if there is any, before the disk is written; what it throws keeps the disk as it is. */
  readonly checkFirst: (piece: PlainPiece | undefined) => void;
  /** Called before anything is written. */
  readonly onTouch: () => void;
}

/**
 * Makes a disk equal to its dump, and writes only what differs. With a frame map, frames that the disk holds are not read from the store.
 *
 * @throws GantryError as an import; `MAP_DAMAGED`; the reason of the signal
 */
export async function resumeDisk({ instance, reporter }: Session, input: ResumeInput): Promise<Mended> {
  const { dump, signal, budget, forceInUse, onTouch } = input;
  const path = instance.disks[dump.index]?.path ?? refuseUri(dump.index);
  const report = reporter.progressOf(dump.index, () => dump.record?.plainBytes);
  const parts = wantedParts(input, reporter.warn);
  await assertStillUnused(instance, dump.index, { force: forceInUse, signal });
  const onProgress = (comparedBytes: number): void => report(comparedBytes, 0);
  const mended = await mendDevice(path, parts, { signal, forceInUse, budget, onTouch, onProgress });
  report(mended.comparedBytes, 0, true);
  return mended;
}

async function* wantedParts(
  { found, dump, signal, budget, checkFirst }: ResumeInput,
  warn: Session['reporter']['warn'],
): AsyncGenerator<WantedPart, void, undefined> {
  const mapped = found.rangedRead ? await openMapped(found, dump.index, { signal, warn }) : undefined;
  if (mapped !== undefined) {
    const { map, source } = mapped;
    checkFirst(map.plainBytes === 0 ? undefined : (await source.at(0, { signal })).plain);
    yield* partsOfMap(map, source, { reference: found.reference, disk: dump.index, signal });
    return;
  }
  let isFirst = true;
  for await (const piece of readDump(found, dump, { budget, signal, warn })) {
    if (isFirst) checkFirst(piece);
    isFirst = false;
    yield piece;
  }
  if (isFirst) checkFirst(undefined);
}

interface MappedSource {
  readonly map: FrameMap;
  readonly source: FrameSource;
}

/**
 * The frame map of a disk, and what reads its frames; undefined where there is none. A dump that is complete by itself can do without it:
 * if it is lost or damaged, or the frame table is, the disk is compared with the whole dump.
 */
async function openMapped(
  found: StoredExport,
  disk: number,
  { signal, warn }: Pick<ResumeInput, 'signal'> & Pick<Session['reporter'], 'warn'>,
): Promise<MappedSource | undefined> {
  const mapped = await found.mapped(disk, { signal });
  if (mapped !== undefined) return { map: mapped.map, source: sourceByMap(mapped) };
  try {
    const map = await found.frameMap(disk, { signal });
    return map && { map, source: await openFrameSource(found, disk, { signal }) };
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    if (error.code === 'MAP_DAMAGED') warn(`${error.message}; the disk is compared with its dump`, disk);
    // Reading the dump warns of its frame table.
    else if (error.code !== 'MANIFEST_DAMAGED') throw error;
    return undefined;
  }
}

interface MappedDisk {
  readonly reference: string;
  readonly disk: number;
  readonly signal: AbortSignal;
}

function* partsOfMap(map: FrameMap, source: FrameSource, about: MappedDisk): Generator<DigestedPart | { readonly zeros: number }> {
  for (const entry of map) {
    if (entry.kind === 'zeros') yield { zeros: entry.plainBytes };
    else yield partOf(entry, source, about);
  }
}

type DataEntry = Exclude<PlacedEntry, { readonly kind: 'zeros' }>;

function partOf(entry: DataEntry, source: FrameSource, about: MappedDisk): DigestedPart {
  const { start, plainBytes, sha256 } = entry;
  return { plainBytes, sha256, loadBytes: source.roomAt(start), load: (room) => loadEntry(entry, { source, room }, about) };
}

/** What differs is written as the dump has it: the map must mean the same. */
async function loadEntry(
  { start, plainBytes, sha256 }: DataEntry,
  { source, room }: { readonly source: FrameSource; readonly room: Uint8Array },
  { reference, disk, signal }: MappedDisk,
): Promise<Uint8Array> {
  const frame = await source.at(start, { signal, room });
  const { plain } = frame;
  if (frame.start === start && plain instanceof Uint8Array && plain.length === plainBytes) {
    if (Buffer.compare(await sha256OnThread(plain), sha256) === 0) return plain;
  }
  throw new GantryError('MAP_DAMAGED', {
    message: `disk${disk}.map of ${reference} is damaged: it has another frame at byte ${start} than the dump`,
    hint: 'Import without --resume, or use another export of this instance.',
    disk,
  });
}
