import { GantryError } from '../report/errors.ts';
import { BytesList, Float64List, Uint32List } from '../system/number-lists.ts';
import { DIGEST_BYTES } from '../system/sha256.ts';

/** Where the stored bytes of one frame are. */
export interface PackPlace {
  /** The number of the pack: its index in the list of packs of the map. */
  readonly pack: number;
  /** Of the frame in the pack, bytes. */
  readonly offset: number;
  readonly storedBytes: number;
}

/** A run of zeros, which no pack holds. */
export interface ZerosInMap {
  readonly kind: 'zeros';
  /** At least 1. */
  readonly plainBytes: number;
}

/** A frame that its codec can decode alone. */
export interface FrameInMap {
  readonly kind: 'frame';
  readonly plainBytes: number;
  /** Of the plain bytes: 32 bytes. */
  readonly sha256: Uint8Array;
  readonly place: PackPlace;
}

/** A frame that is stored as its difference from another one, which is never a patch itself: `zstd --patch-from`. */
export interface PatchInMap {
  readonly kind: 'patch';
  readonly plainBytes: number;
  readonly sha256: Uint8Array;
  readonly place: PackPlace;
  readonly base: PatchBase;
}

/** The frame from which a patch differs. */
export interface PatchBase extends PackPlace {
  readonly plainBytes: number;
}

export type MapEntry = ZerosInMap | FrameInMap | PatchInMap;

/** An entry of a map, and where in the disk it begins: plain bytes. */
export type PlacedEntry = MapEntry & { readonly start: number };

/**
 * The most entries of a map that is made: their text, with the longest lines that there are in practice, is one that readers accept
 * (2 GiB). Some 50 TiB of data in frames of 4 MiB; a run of zeros is one entry.
 */
export const MAX_MADE_ENTRIES = 13_000_000;

/** To be called before each entry of a map that is made. After everything is stored, it would be too late to find out. @throws GantryError `USAGE` */
export function assertMapHasSpace({ length }: Pick<FrameMap, 'length'>, maxEntries: number): void {
  if (length < maxEntries) return;
  throw new GantryError('USAGE', {
    message: `the disk has too much data for a frame map, which has at most ${maxEntries} entries`,
    hint: 'Export it without --incremental.',
  });
}

/** The pack of an entry that is in none. */
const NO_PACK = 0xffff_ffff;
const NO_DIGEST = new Uint8Array(DIGEST_BYTES);

/** The bases of patches: of dumps that scripts make, most frames may be patches. */
class BaseList {
  readonly #packs = new Uint32List();
  readonly #offsets = new Float64List();
  readonly #storedSizes = new Uint32List();
  readonly #plainSizes = new Uint32List();

  /** @returns how many there are now */
  push({ pack, offset, storedBytes, plainBytes }: PatchBase): number {
    this.#packs.push(pack);
    this.#offsets.push(offset);
    this.#storedSizes.push(storedBytes);
    this.#plainSizes.push(plainBytes);
    return this.#packs.length;
  }

  at(index: number): PatchBase | undefined {
    const pack = this.#packs.at(index);
    const offset = this.#offsets.at(index);
    const storedBytes = this.#storedSizes.at(index);
    const plainBytes = this.#plainSizes.at(index);
    if (pack === undefined || offset === undefined || storedBytes === undefined || plainBytes === undefined) return undefined;
    return { pack, offset, storedBytes, plainBytes };
  }
}

/**
 * Where each frame of one disk is, in its order, with the SHA-256 of its data: everything that reading the disk needs. The frames may be
 * in packs of several exports. Needs 60 bytes of memory for each entry, 15 MiB for a disk of 1 TiB in frames of 4 MiB, and 20 more for
 * each patch.
 */
export class FrameMap {
  readonly #starts = new Float64List();
  readonly #digests = new BytesList(DIGEST_BYTES);
  readonly #packs = new Uint32List();
  readonly #offsets = new Float64List();
  readonly #sizes = new Uint32List();
  /** For each entry the number of its base among these, from 1; 0 if it is not a patch. */
  readonly #baseNumbers = new Uint32List();
  readonly #bases = new BaseList();
  #plainBytes = 0;

  /** Number of entries. */
  get length(): number {
    return this.#starts.length;
  }

  /** Of the disk. */
  get plainBytes(): number {
    return this.#plainBytes;
  }

  push(entry: MapEntry): void {
    const place = entry.kind === 'zeros' ? undefined : entry.place;
    this.#baseNumbers.push(entry.kind === 'patch' ? this.#bases.push(entry.base) : 0);
    this.#starts.push(this.#plainBytes);
    this.#digests.push(entry.kind === 'zeros' ? NO_DIGEST : entry.sha256);
    this.#packs.push(place?.pack ?? NO_PACK);
    this.#offsets.push(place?.offset ?? 0);
    this.#sizes.push(place?.storedBytes ?? 0);
    this.#plainBytes += entry.plainBytes;
  }

  /** Adds zeros: to the run before, if the last entry is one. Nothing for 0 bytes. */
  pushZeros(plainBytes: number): void {
    if (this.length > 0 && this.#packs.at(this.length - 1) === NO_PACK) this.#plainBytes += plainBytes;
    else if (plainBytes > 0) this.push({ kind: 'zeros', plainBytes });
  }

  /** The entry with this index, from 0; undefined after the last. */
  at(index: number): PlacedEntry | undefined {
    const start = this.#starts.at(index);
    const sha256 = this.#digests.at(index);
    const pack = this.#packs.at(index);
    if (start === undefined || sha256 === undefined || pack === undefined) return undefined;
    const plainBytes = (this.#starts.at(index + 1) ?? this.#plainBytes) - start;
    if (pack === NO_PACK) return { kind: 'zeros', start, plainBytes };
    const place = { pack, offset: this.#offsets.at(index) ?? 0, storedBytes: this.#sizes.at(index) ?? 0 };
    const base = this.#bases.at((this.#baseNumbers.at(index) ?? 0) - 1);
    return base === undefined
      ? { kind: 'frame', start, plainBytes, sha256, place }
      : { kind: 'patch', start, plainBytes, sha256, place, base };
  }

  /** The SHA-256 of the data of an entry; undefined for zeros and after the last. */
  digestAt(index: number): Uint8Array | undefined {
    return this.#packs.at(index) === NO_PACK ? undefined : this.#digests.at(index);
  }

  /** The index of the entry that holds a plain byte of the disk; undefined outside of it. */
  indexAt(offset: number): number | undefined {
    if (!(offset >= 0 && offset < this.#plainBytes)) return undefined;
    let low = 0;
    let high = this.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#starts.at(middle) ?? Infinity) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  *[Symbol.iterator](): Generator<PlacedEntry, void, undefined> {
    for (let index = 0; ; index += 1) {
      const entry = this.at(index);
      if (entry === undefined) return;
      yield entry;
    }
  }
}
