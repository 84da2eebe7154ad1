import type { Store } from '@gantry/transport';
import type { FrameCut } from '../exports/frame-cuts.ts';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import { readDump } from '../exports/read-dump.ts';
import { assertOpened } from '../exports/unsealing.ts';
import { startCall } from '../flow/session.ts';
import { entriesOf } from '../frames/decode-map.ts';
import type { DigestIndex } from '../frames/digest-index.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import type { DigestedFrame } from '../frames/digested-frames.ts';
import { cutIntoFrames, framesOfMap } from '../frames/digested-frames.ts';
import { FrameMap } from '../frames/frame-map.ts';
import { indexDigests } from '../frames/known-frames.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { PlainPiece } from '../frames/types.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { withFirstError } from '../report/first-error.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import { reportPhases } from '../report/reporter.ts';

export interface DiffRequest extends Pick<OperationOptions, 'signal' | 'onEvent'> {
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly first: string;
  readonly second: string;
}

/** Frames with data, and their plain bytes. Zeros count for nothing. */
export interface FrameTotal {
  readonly frames: number;
  readonly bytes: number;
}

/** How one disk differs in two exports. */
export interface DiskDifference {
  readonly disk: number;
  /** What the second export has, and the first lacks: at that place, or anywhere in frames that were cut by content. */
  readonly added: FrameTotal;
  /** What the first export has, and the second lacks. */
  readonly gone: FrameTotal;
  /** Plain bytes of the disk in each; absent where an export does not have it. */
  readonly firstBytes?: number;
  readonly secondBytes?: number;
  /** `maps`: nothing but frame maps was read. */
  readonly by: 'maps' | 'reading';
}

export interface DiffResult {
  readonly first: string;
  readonly second: string;
  readonly disks: readonly DiskDifference[];
  readonly warnings: readonly string[];
}

/**
 * Says how the disks of two exports differ: by their frame maps, or by reading what has no frame map, or not one of the same cut.
 *
 * @throws what `openExport` and reading throw
 */
export function diffExports(request: DiffRequest): Promise<DiffResult> {
  return withFirstError(() => runDiff(request));
}

async function runDiff({ store, first, second, ...options }: DiffRequest): Promise<DiffResult> {
  const { signal, reporter } = startCall('diff', options);
  const a = await openExport(store, first, { signal });
  const b = await openExport(store, second, { signal });
  for (const found of [a, b]) assertOpened(store, found);
  for (const warning of new Set([...a.warnings, ...b.warnings])) reporter.warn(warning);
  const indexes = new Set([...a.dumps, ...b.dumps].map(({ index }) => index));
  const disks: DiskDifference[] = [];
  for (const disk of [...indexes].toSorted((x, y) => x - y)) {
    disks.push(await reportPhases(reporter, disk, () => diffDisk([sideOf(a, disk), sideOf(b, disk)], { disk, reporter, signal })));
  }
  return { first: a.reference, second: b.reference, disks, warnings: reporter.warnings };
}

/** A disk in one of the exports. */
interface Side {
  readonly found: StoredExport;
  readonly dump: StoredDump | undefined;
  /** Of the disk. Reading counts them, since Ganeti does not note them. */
  plainBytes: number | undefined;
}

function sideOf(found: StoredExport, disk: number): Side {
  const dump = found.dumps.find(({ index }) => index === disk);
  return { found, dump, plainBytes: dump?.record?.plainBytes };
}

interface DiffOptions {
  readonly disk: number;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

async function diffDisk([first, second]: readonly [Side, Side], options: DiffOptions): Promise<DiskDifference> {
  const cut = commonCut(first.dump, second.dump);
  const usesMap = ({ dump }: Side): boolean => dump === undefined || (cut === undefined ? isCutAsRead(dump) : true);
  const frames = (side: Side): AsyncIterable<DigestedFrame> => (usesMap(side) ? mappedFrames(side, options) : readFrames(side, options));
  const counts =
    cut === 'content'
      ? compareAnywhere(await mapOf(first, options), await mapOf(second, options))
      : await compareInPlace(frames(first), frames(second));
  return {
    disk: options.disk,
    ...counts,
    ...(first.plainBytes === undefined ? {} : { firstBytes: first.plainBytes }),
    ...(second.plainBytes === undefined ? {} : { secondBytes: second.plainBytes }),
    by: usesMap(first) && usesMap(second) ? 'maps' : 'reading',
  };
}

/** How both are cut into frames, if alike. */
function commonCut(first: StoredDump | undefined, second: StoredDump | undefined): FrameCut | undefined {
  const [a, b] = [first?.record ?? second?.record, second?.record ?? first?.record];
  if (a?.map === undefined || a.map.cut !== b?.map?.cut) return undefined;
  return a.map.cut === 'content' || a.frameSize === b.frameSize ? a.map.cut : undefined;
}

/** Whether the frames of a map are those that reading cuts. */
function isCutAsRead({ record }: StoredDump): boolean {
  return record?.map?.cut === 'place' && record.frameSize === FRAME_SIZE;
}

/** Of a disk that an export does not have, an empty one. */
async function mapOf({ found, dump }: Side, { signal }: DiffOptions): Promise<FrameMap> {
  return (dump && (await found.frameMap(dump.index, { signal }))) ?? new FrameMap();
}

async function* mappedFrames(side: Side, options: DiffOptions): AsyncGenerator<DigestedFrame, void, undefined> {
  yield* framesOfMap(await mapOf(side, options));
}

async function* readFrames(side: Side, { disk, reporter, signal }: DiffOptions): AsyncGenerator<DigestedFrame, void, undefined> {
  const { found, dump } = side;
  if (dump === undefined) return;
  const pieces = readDump(found, dump, {
    budget: new MemoryBudget(DEFAULT_BUDGET_BYTES),
    signal,
    onProgress: reporter.progressOf(disk, () => dump.record?.plainBytes),
    warn: (message, index) => reporter.warn(message, index),
  });
  yield* cutIntoFrames(counted(pieces, side), FRAME_SIZE);
}

async function* counted(pieces: AsyncIterable<PlainPiece>, side: Side): AsyncGenerator<PlainPiece, void, undefined> {
  side.plainBytes = 0;
  for await (const piece of pieces) {
    side.plainBytes += piece instanceof Uint8Array ? piece.length : piece.zeros;
    yield piece;
  }
}

/** Both streams side by side, each in the order of its places. */
async function compareInPlace(
  first: AsyncIterable<DigestedFrame>,
  second: AsyncIterable<DigestedFrame>,
): Promise<Pick<DiskDifference, 'added' | 'gone'>> {
  const [added, gone] = [new Count(), new Count()];
  const [a, b] = [first[Symbol.asyncIterator](), second[Symbol.asyncIterator]()];
  try {
    let [x, y] = [await nextOf(a), await nextOf(b)];
    while (x !== undefined || y !== undefined) {
      const [atX, atY] = [x?.start ?? Infinity, y?.start ?? Infinity];
      const isSame = atX === atY && x?.plainBytes === y?.plainBytes && x?.sha256 === y?.sha256;
      if (!isSame && x !== undefined && atX <= atY) gone.add(x);
      if (!isSame && y !== undefined && atY <= atX) added.add(y);
      [x, y] = [atX <= atY ? await nextOf(a) : x, atY <= atX ? await nextOf(b) : y];
    }
    return { added, gone };
  } finally {
    await Promise.all([a.return?.(), b.return?.()]);
  }
}

async function nextOf(frames: AsyncIterator<DigestedFrame>): Promise<DigestedFrame | undefined> {
  const step = await frames.next();
  return step.done === true ? undefined : step.value;
}

/** Data that only moved does not count as different. */
function compareAnywhere(first: FrameMap, second: FrameMap): Pick<DiskDifference, 'added' | 'gone'> {
  const before = { map: first, index: indexDigests(first) };
  const after = { map: second, index: indexDigests(second) };
  return { added: countMissing(after, before), gone: countMissing(before, after) };
}

interface IndexedMap {
  readonly map: FrameMap;
  readonly index: DigestIndex;
}

/** The frames that another disk does not have, each once. */
function countMissing({ map, index }: IndexedMap, other: IndexedMap): FrameTotal {
  const missing = new Count();
  for (const { index: number, entry } of entriesOf(map)) {
    if (entry.kind === 'zeros' || index.find(entry.sha256) !== number) continue;
    if (other.index.find(entry.sha256) === undefined) missing.add(entry);
  }
  return missing;
}

class Count implements FrameTotal {
  frames = 0;
  bytes = 0;

  add({ plainBytes }: Pick<DigestedFrame, 'plainBytes'>): void {
    this.frames += 1;
    this.bytes += plainBytes;
  }
}
