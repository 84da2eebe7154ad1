import type { Profiler } from 'node:inspector';
import { Session } from 'node:inspector';

/** Parts of a script, as offsets: from, to, from, to, in order. */
type Ranges = readonly number[];

/** What was not executed of each function, by its place. */
type Uncovered = ReadonlyMap<string, Ranges>;

/**
 * Which blocks of our own sources were executed: V8 counts them itself, so that nothing has to be instrumented. Asking takes milliseconds;
 * so it is done after many inputs, and only what was new is looked for among them.
 */
export class Coverage implements Disposable {
  readonly #session = new Session();
  /** Functions that were executed, and what never was of them. */
  readonly #missing = new Map<string, Ranges>();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** What was executed since it was last asked for; counting begins anew. */
  take(): Uncovered {
    let result: Profiler.TakePreciseCoverageReturnType | undefined;
    // In the same thread, the answer comes at once.
    this.#session.post('Profiler.takePreciseCoverage', (_error, answer) => {
      result = answer;
    });
    const uncovered = new Map<string, Ranges>();
    for (const { url, functions } of result?.result ?? []) {
      if (!OWN_SOURCE.test(url)) continue;
      for (const { ranges } of functions) {
        const [whole, ...blocks] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        uncovered.set(`${url}:${whole.startOffset}:${whole.endOffset}`, emptyRanges(blocks));
      }
    }
    return uncovered;
  }

  /** Whether something was executed that never was before. */
  isNew(uncovered: Uncovered): boolean {
    for (const [place, ranges] of uncovered) {
      const known = this.#missing.get(place);
      if (known === undefined || lengthOf(intersection(known, ranges)) < lengthOf(known)) return true;
    }
    return false;
  }

  /** From now on it is known. */
  add(uncovered: Uncovered): void {
    for (const [place, ranges] of uncovered) {
      const known = this.#missing.get(place);
      this.#missing.set(place, known === undefined ? ranges : intersection(known, ranges));
    }
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}

/** Neither packages of others nor tests and fuzz targets. */
const OWN_SOURCE = /^file:.*\/(?:packages|apps)\/(?!testkit\/)[^/]+\/(?:src|dist)\/(?!.*\.test\.)/;

/** The blocks that were not executed; those within others are left out. */
function emptyRanges(blocks: readonly Profiler.CoverageRange[]): Ranges {
  const found: number[] = [];
  for (const { startOffset, endOffset, count } of blocks) {
    if (count > 0 || startOffset < (found.at(-1) ?? 0)) continue;
    found.push(startOffset, endOffset);
  }
  return found;
}

function intersection(a: Ranges, b: Ranges): Ranges {
  const common: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [aEnd = 0, bEnd = 0] = [a[i + 1], b[j + 1]];
    const from = Math.max(a[i] ?? 0, b[j] ?? 0);
    const to = Math.min(aEnd, bEnd);
    if (from < to) common.push(from, to);
    if (aEnd < bEnd) i += 2;
    else j += 2;
  }
  return common;
}

function lengthOf(ranges: Ranges): number {
  let length = 0;
  for (let at = 0; at < ranges.length; at += 2) length += (ranges[at + 1] ?? 0) - (ranges[at] ?? 0);
  return length;
}
