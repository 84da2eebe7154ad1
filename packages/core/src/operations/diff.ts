import type { Store } from '@gantry/transport';
import type { FrameCut } from '../exports/frame-cuts.ts';
import type { StoredDump, StoredExport } from '../exports/open-export.ts';
import { openExport } from '../exports/open-export.ts';
import { readDump } from '../exports/read-dump.ts';
import { startCall } from '../flow/session.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import type { DigestedFrame } from '../frames/digested-frames.ts';
import { cutIntoFrames, framesOfMap } from '../frames/digested-frames.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
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
  /** Plain bytes of the disk in each; absent where an export does not have it, or does not know. */
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
}

function sideOf(found: StoredExport, disk: number): Side {
  return { found, dump: found.dumps.find(({ index }) => index === disk) };
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
    cut === 'content' ? await compareAnywhere(frames(first), frames(second)) : await compareInPlace(frames(first), frames(second));
  return {
    disk: options.disk,
    ...counts,
    ...sizeOf('firstBytes', first.dump),
    ...sizeOf('secondBytes', second.dump),
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

function sizeOf<K extends string>(name: K, dump: StoredDump | undefined): { readonly [key in K]?: number } {
  const bytes = dump?.record?.plainBytes;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- TypeScript does not follow computed names
  return (bytes === undefined ? {} : { [name]: bytes }) as { readonly [key in K]?: number };
}

async function* mappedFrames({ found, dump }: Side, { signal }: DiffOptions): AsyncGenerator<DigestedFrame, void, undefined> {
  const map = dump && (await found.frameMap(dump.index, { signal }));
  if (map !== undefined) yield* framesOfMap(map);
}

async function* readFrames({ found, dump }: Side, { disk, reporter, signal }: DiffOptions): AsyncGenerator<DigestedFrame, void, undefined> {
  if (dump === undefined) return;
  const pieces = readDump(found, dump, {
    budget: new MemoryBudget(DEFAULT_BUDGET_BYTES),
    signal,
    onProgress: reporter.progressOf(disk, () => dump.record?.plainBytes),
    warn: (message, index) => reporter.warn(message, index),
  });
  yield* cutIntoFrames(pieces, FRAME_SIZE);
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
async function compareAnywhere(
  first: AsyncIterable<DigestedFrame>,
  second: AsyncIterable<DigestedFrame>,
): Promise<Pick<DiskDifference, 'added' | 'gone'>> {
  const before = await bySha256(first);
  const after = await bySha256(second);
  const [added, gone] = [new Count(), new Count()];
  for (const [sha256, frame] of after) if (!before.has(sha256)) added.add(frame);
  for (const [sha256, frame] of before) if (!after.has(sha256)) gone.add(frame);
  return { added, gone };
}

async function bySha256(frames: AsyncIterable<DigestedFrame>): Promise<ReadonlyMap<string, DigestedFrame>> {
  const known = new Map<string, DigestedFrame>();
  for await (const frame of frames) known.set(frame.sha256, frame);
  return known;
}

class Count implements FrameTotal {
  frames = 0;
  bytes = 0;

  add({ plainBytes }: DigestedFrame): void {
    this.frames += 1;
    this.bytes += plainBytes;
  }
}
