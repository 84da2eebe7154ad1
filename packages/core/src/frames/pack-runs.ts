import type { ByteSource } from '@gantry/transport';
import { abortable } from '@gantry/transport';
import { DumpReader } from './dump-reader.ts';
import type { PackPlace, PlacedEntry } from './frame-map.ts';
import { MAX_GAP_BYTES } from './read-frames.ts';

/** Opens a range of a pack's stored bytes. */
export type OpenPackRange = (range: PackPlace, signal: AbortSignal) => Promise<ByteSource>;

/** An entry of a map, and its index there. */
export interface IndexedEntry {
  readonly index: number;
  readonly entry: PlacedEntry;
}

/** Fills `output` with the stored bytes of one place. */
export type ReadPlace = (output: Uint8Array) => Promise<void>;

/** How many entries ahead is looked for frames that one request can read. */
const MAX_ENTRIES_AHEAD = 1024;
/** A run whose next frame comes after more stored bytes of other packs than this would keep its connection waiting for too long. */
const MAX_IDLE_BYTES = 32 * 1024 * 1024;
/** Each may keep a connection and some MiB of memory. */
const MAX_OPEN_RUNS = 4;

/**
 * Reads the stored frames of a map: frames that follow each other in one pack with one request, although frames of other packs are between
 * them. Runs of different packs are read at the same time.
 */
export class PackRuns implements AsyncDisposable {
  readonly #entries: Iterator<IndexedEntry>;
  readonly #open: OpenPackRange;
  readonly #signal: AbortSignal;
  readonly #window: IndexedEntry[] = [];
  /** By the number of the pack, the one that was used last at the end: those that will have more frames. */
  readonly #active = new Map<number, PackRun>();
  readonly #all = new Set<PackRun>();

  constructor(entries: Iterable<IndexedEntry>, open: OpenPackRange, signal: AbortSignal) {
    this.#entries = entries[Symbol.iterator]();
    this.#open = open;
    this.#signal = signal;
  }

  /** The next entry; undefined after the last. The functions, in the order of {@link placesOf}, can be called once each. */
  next(): (IndexedEntry & { readonly reads: readonly ReadPlace[] }) | undefined {
    this.#lookAhead();
    const head = this.#window.shift();
    if (head === undefined) return undefined;
    const places = placesOf(head.entry);
    return { ...head, reads: places.map((place, number) => this.#plan(place, places.slice(number + 1))) };
  }

  /** Closes everything, after what is being read has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#all].map((run) => run.close()));
  }

  #lookAhead(): void {
    while (this.#window.length < MAX_ENTRIES_AHEAD) {
      const step = this.#entries.next();
      if (step.done === true) return;
      this.#window.push(step.value);
    }
  }

  /** @param others places of the same entry that come after it */
  #plan(place: PackPlace, others: readonly PackPlace[]): ReadPlace {
    const { pack } = place;
    const run = this.#active.get(pack) ?? this.#start(place, others);
    this.#active.delete(pack);
    const isLast = run.expect();
    if (!isLast) this.#active.set(pack, run);
    return (output) => run.read(place, output);
  }

  #start(first: PackPlace, others: readonly PackPlace[]): PackRun {
    const [oldest] = this.#active.values();
    if (oldest !== undefined && this.#active.size >= MAX_OPEN_RUNS) {
      oldest.expectNoMore();
      this.#active.delete(oldest.pack);
    }
    const plan = planRun(first, this.#upcoming(others));
    const run: PackRun = new PackRun(plan, this.#open, this.#signal, () => this.#all.delete(run));
    this.#all.add(run);
    return run;
  }

  *#upcoming(others: readonly PackPlace[]): Generator<PackPlace, void, undefined> {
    yield* others;
    for (const { entry } of this.#window) yield* placesOf(entry);
  }
}

/** Where the stored bytes are that an entry needs: of its frame, and of the frame from which a patch differs. */
export function placesOf(entry: PlacedEntry): readonly PackPlace[] {
  if (entry.kind === 'zeros') return [];
  return entry.kind === 'frame' ? [entry.place] : [entry.place, entry.base];
}

interface RunPlan {
  readonly pack: number;
  /** Stored bytes in the pack. */
  readonly start: number;
  readonly end: number;
  /** How many places are read from it. */
  readonly count: number;
  /** Whether one of them is wanted again right after it was read. */
  readonly repeats: boolean;
}

function planRun(first: PackPlace, upcoming: Iterable<PackPlace>): RunPlan {
  const { pack, offset: start } = first;
  let last = first;
  let count = 1;
  let repeats = false;
  let idle = 0;
  for (const next of upcoming) {
    if (next.pack !== pack) {
      idle += next.storedBytes;
      if (idle > MAX_IDLE_BYTES) break;
      continue;
    }
    const isRepeated = isSamePlace(next, last);
    const gap = next.offset - endOf(last);
    if (!isRepeated && (gap < 0 || gap > MAX_GAP_BYTES)) break;
    repeats ||= isRepeated;
    last = next;
    count += 1;
    idle = 0;
  }
  return { pack, start, end: endOf(last), count, repeats };
}

function endOf({ offset, storedBytes }: PackPlace): number {
  return offset + storedBytes;
}

function isSamePlace(one: PackPlace, other: PackPlace): boolean {
  return one.pack === other.pack && one.offset === other.offset && one.storedBytes === other.storedBytes;
}

/** A range of a pack that is read by one request, from its start to its end. */
class PackRun {
  readonly #plan: RunPlan;
  readonly #open: OpenPackRange;
  readonly #signal: AbortSignal;
  readonly #closed: () => void;
  #source: ByteSource | undefined;
  #reader: DumpReader | undefined;
  /** The last read: each begins after the one before, and fails if that did. */
  #last: Promise<void> = Promise.resolve();
  /** What was read last, where it may be wanted again. */
  #kept: { readonly place: PackPlace; readonly bytes: Uint8Array } | undefined;
  #expected = 0;
  #read = 0;
  #hasMore = true;

  /** @param closed called when everything that was expected has been read, and the request is over */
  constructor(plan: RunPlan, open: OpenPackRange, signal: AbortSignal, closed: () => void) {
    this.#plan = plan;
    this.#open = open;
    this.#signal = signal;
    this.#closed = closed;
  }

  get pack(): number {
    return this.#plan.pack;
  }

  /** Expects another read. @returns whether it is the last one of the plan */
  expect(): boolean {
    this.#expected += 1;
    this.#hasMore = this.#expected < this.#plan.count;
    return !this.#hasMore;
  }

  /** Nothing is read from it after what was expected until now. */
  expectNoMore(): void {
    this.#hasMore = false;
    void this.#queue(() => this.#closeIfDone());
  }

  read(place: PackPlace, output: Uint8Array): Promise<void> {
    return this.#queue(async () => {
      await this.#fill(place, output);
      this.#read += 1;
      await this.#closeIfDone();
    });
  }

  async close(): Promise<void> {
    await this.#last.catch(() => undefined);
    await this.#reader?.[Symbol.asyncDispose]();
    await this.#source?.[Symbol.asyncDispose]();
  }

  #queue(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done;
    done.catch(() => undefined);
    return done;
  }

  async #fill(place: PackPlace, output: Uint8Array): Promise<void> {
    if (this.#kept !== undefined && isSamePlace(this.#kept.place, place)) return output.set(this.#kept.bytes);
    const { start, repeats } = this.#plan;
    const reader = (this.#reader ??= await this.#begin());
    await reader.skip(place.offset - start - reader.offset);
    await reader.fill(output);
    if (repeats) this.#kept = { place, bytes: Buffer.from(output) };
  }

  async #begin(): Promise<DumpReader> {
    const { pack, start, end } = this.#plan;
    this.#source = await this.#open({ pack, offset: start, storedBytes: end - start }, this.#signal);
    return new DumpReader(abortable(this.#source, this.#signal));
  }

  async #closeIfDone(): Promise<void> {
    if (this.#hasMore || this.#read < this.#expected) return;
    await this.#reader?.[Symbol.asyncDispose]();
    await this.#source?.[Symbol.asyncDispose]();
    this.#closed();
  }
}
