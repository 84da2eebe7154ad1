/** A part of a disk, bytes. */
export interface DiskRange {
  readonly offset: number;
  readonly length: number;
}

/** What is said to have changed is not in order: then nothing of it is to be believed. */
export class RangesOutOfOrder extends Error {
  override readonly name = 'RangesOutOfOrder';
}

/** The frames of a disk that may have changed, as runs of whole frames that do not touch. Two numbers of memory for each run. */
export class ChangedFrames {
  readonly frameSize: number;
  readonly diskBytes: number;
  /** In order. */
  readonly runs: readonly DiskRange[];

  private constructor(frameSize: number, diskBytes: number, runs: readonly DiskRange[]) {
    this.frameSize = frameSize;
    this.diskBytes = diskBytes;
    this.runs = runs;
  }

  /**
   * @param ranges what changed, in order; what is beyond the end of the disk is left out
   * @throws RangesOutOfOrder; the errors of `ranges`
   */
  static async collect(frameSize: number, diskBytes: number, ranges: AsyncIterable<DiskRange>): Promise<ChangedFrames> {
    const runs: DiskRange[] = [];
    let before = 0;
    for await (const { offset, length } of ranges) {
      if (!(offset >= before && length >= 0)) throw new RangesOutOfOrder(`${length} bytes at ${offset} come after byte ${before}`);
      before = offset + length;
      const start = offset - (offset % frameSize);
      const end = Math.min(diskBytes, Math.ceil(before / frameSize) * frameSize);
      if (length === 0 || offset >= diskBytes) continue;
      const last = runs.at(-1);
      if (last === undefined || last.offset + last.length < start) runs.push({ offset: start, length: end - start });
      else runs[runs.length - 1] = { offset: last.offset, length: end - last.offset };
    }
    return new ChangedFrames(frameSize, diskBytes, runs);
  }

  /** Of the changed frames. */
  get changedBytes(): number {
    return this.runs.reduce((total, { length }) => total + length, 0);
  }

  /** What lies between the runs, in order. */
  *unchanged(): Generator<DiskRange, void, undefined> {
    let at = 0;
    for (const { offset, length } of [...this.runs, { offset: this.diskBytes, length: 0 }]) {
      if (offset > at) yield { offset: at, length: offset - at };
      at = offset + length;
    }
  }

  /** Random frames of those that have not changed, each at most once, in order: where they begin. */
  sample(count: number, random: (below: number) => number): readonly number[] {
    const places = [...this.unchanged()];
    const frames = places.map(({ length }) => Math.ceil(length / this.frameSize));
    const total = frames.reduce((sum, each) => sum + each, 0);
    const chosen = [...chooseDistinct(Math.min(count, total), total, random)].toSorted((a, b) => a - b);
    const found: number[] = [];
    let [place, first] = [0, 0];
    for (const frame of chosen) {
      while (frame >= first + (frames[place] ?? Infinity)) first += frames[place++] ?? 0;
      found.push((places[place]?.offset ?? 0) + (frame - first) * this.frameSize);
    }
    return found;
  }
}

/** Floyd's sample: every set of `count` of the numbers below `total` is as likely as another. */
function chooseDistinct(count: number, total: number, random: (below: number) => number): ReadonlySet<number> {
  const chosen = new Set<number>();
  for (let most = total - count; most < total; most += 1) {
    const number = random(most + 1);
    chosen.add(chosen.has(number) ? most : number);
  }
  return chosen;
}
