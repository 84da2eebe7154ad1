import { sha256OnThread } from '../system/sha256.ts';
import { FormatProblem } from './damage.ts';
import type { FrameMap, PlacedEntry } from './frame-map.ts';
import type { FrameTable } from './frame-table.ts';
import type { PlainPiece } from './types.ts';
import { zeroBytes } from './zeros.ts';

/** A dump that is complete by itself, and whose frame map is to be compared with it. */
export interface DumpWithMap {
  readonly map: FrameMap;
  readonly table: FrameTable;
  readonly frameSize: number;
}

/** Compares the frame map of a dump, which its readers do not need, with its frames: later exports rely on it. */
export class MapComparison {
  readonly #dump: DumpWithMap;
  #plainBytes = 0;
  /** The frame of the table that was looked at last, and where it is in the dump. */
  #frame = 0;
  #offset = 0;

  constructor(dump: DumpWithMap) {
    this.#dump = dump;
  }

  /** @param piece of the decoded dump: a frame, or a run of zeros @returns true @throws FormatProblem for the first entry that differs */
  async next(piece: PlainPiece): Promise<true> {
    const { map } = this.#dump;
    const end = this.#plainBytes + (piece instanceof Uint8Array ? piece.length : piece.zeros);
    for (let index = map.indexAt(this.#plainBytes); index !== undefined && this.#plainBytes < end; index += 1) {
      const entry = map.at(index);
      if (entry === undefined) break;
      const entryEnd = entry.start + entry.plainBytes;
      const isRight =
        piece instanceof Uint8Array ? await this.#holds(entry, piece) : entry.kind === 'zeros' || (await this.#holdsZeros(entry, end));
      if (!isRight) throw new FormatProblem(`entry ${index} does not fit its dump`);
      this.#plainBytes = Math.min(entryEnd, end);
    }
    if (this.#plainBytes < end) throw new FormatProblem('it ends before its dump does');
    return true;
  }

  async #holdsZeros(entry: PlacedEntry, end: number): Promise<boolean> {
    return entry.start + entry.plainBytes <= end && (await this.#holds(entry, zeroBytes(entry.plainBytes)));
  }

  async #holds(entry: PlacedEntry, plain: Uint8Array): Promise<boolean> {
    if (entry.kind !== 'frame' || entry.start !== this.#plainBytes || entry.plainBytes !== plain.length) return false;
    const { offset, storedBytes } = entry.place;
    const found = this.#find(Math.floor(entry.start / this.#dump.frameSize));
    if (offset !== found.offset || storedBytes !== found.storedBytes) return false;
    return Buffer.compare(await sha256OnThread(plain), entry.sha256) === 0;
  }

  /** Where a frame is in the dump: one that is not before the last one that was asked for. */
  #find(frame: number): { readonly offset: number; readonly storedBytes: number | undefined } {
    const { table } = this.#dump;
    for (; this.#frame < frame; this.#frame += 1) this.#offset += table.at(this.#frame)?.storedBytes ?? 0;
    return { offset: this.#offset, storedBytes: table.at(frame)?.storedBytes };
  }
}
