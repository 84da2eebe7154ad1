import { asBuffer } from '../system/as-buffer.ts';
import { DigestIndex } from './digest-index.ts';
import type { FrameInMap, FrameMap, MapEntry, PatchBase, PatchInMap } from './frame-map.ts';

/** A frame that is stored already. */
export type StoredFrame = FrameInMap | PatchInMap;

/** The frames of one disk in earlier exports, to which a new export can refer. */
export class KnownFrames {
  /** How many packs the maps refer to: the number of the next one. */
  readonly packs: number;
  readonly #maps: readonly FrameMap[];
  readonly #indexes: readonly DigestIndex[];

  /** @param maps the map of the export that is most like the new one comes first; all number their packs alike */
  constructor(maps: readonly FrameMap[], packs: number) {
    this.packs = packs;
    this.#maps = maps;
    this.#indexes = maps.map(indexDigests);
  }

  /** The map of the export that is most like the new one; undefined if there is none. */
  get first(): FrameMap | undefined {
    return this.#maps[0];
  }

  /**
   * A frame with this data: at the same place if it is there, so that an unchanged disk keeps its order, else anywhere.
   *
   * @param start plain bytes from the start of the disk
   * @param sha256 of the data
   */
  find(start: number, plainBytes: number, sha256: Uint8Array): StoredFrame | undefined {
    for (const map of this.#maps) {
      const found = sameIn(map, map.indexAt(start), plainBytes, sha256);
      if (found?.start === start) return found;
    }
    for (const [number, map] of this.#maps.entries()) {
      const found = sameIn(map, this.#indexes[number]?.find(sha256), plainBytes, sha256);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /**
   * The entries of a part of the first map, of which a run of zeros may be cut.
   *
   * @throws RangeError if a frame is only partly in it, or the map does not have it
   */
  *unchanged(start: number, plainBytes: number): Generator<MapEntry, void, undefined> {
    const [map] = this.#maps;
    const end = start + plainBytes;
    for (let at = start, index = map?.indexAt(start) ?? 0; at < end; index += 1) {
      const entry = map?.at(index);
      const isWhole = entry?.start === at && entry.plainBytes <= end - at;
      if (entry === undefined || !(isWhole || entry.kind === 'zeros'))
        throw new RangeError(`the ${plainBytes} unchanged bytes at ${start} are not whole frames of the parent`);
      const bytes = Math.min(end, entry.start + entry.plainBytes) - at;
      yield entry.kind === 'zeros' ? { kind: 'zeros', plainBytes: bytes } : entry;
      at += bytes;
    }
  }

  /** A frame with this data that is not a patch: another one can be stored as its difference from it. */
  findWhole(plainBytes: number, sha256: Uint8Array): FrameInMap | undefined {
    for (const [number, map] of this.#maps.entries()) {
      const found = sameIn(map, this.#indexes[number]?.find(sha256), plainBytes, sha256);
      if (found?.kind === 'frame') return found;
    }
    return undefined;
  }

  /** The frames from which patches in the maps differ. */
  *bases(): Generator<PatchBase, void, undefined> {
    for (const map of this.#maps) for (const entry of map) if (entry.kind === 'patch') yield entry.base;
  }

  /**
   * Where a whole frame is to which a new one at this place may be much alike: the one that has the byte in the middle, or that of which
   * it is a patch. A disk has it at the same place; a stream shifts, but what is near is the same as a rule.
   */
  wholeNear(start: number, plainBytes: number): PatchBase | undefined {
    for (const map of this.#maps) {
      const index = map.indexAt(start + Math.floor(plainBytes / 2));
      const entry = index === undefined ? undefined : map.at(index);
      if (entry === undefined || entry.kind === 'zeros') continue;
      return entry.kind === 'patch' ? entry.base : { ...entry.place, plainBytes: entry.plainBytes };
    }
    return undefined;
  }
}

/** The entry with this index if it has this data. One that says another size lies: it is not used. */
function sameIn(map: FrameMap, index: number | undefined, plainBytes: number, sha256: Uint8Array) {
  const digest = index === undefined ? undefined : map.digestAt(index);
  if (index === undefined || digest === undefined || !asBuffer(digest).equals(sha256)) return undefined;
  const entry = map.at(index);
  return entry === undefined || entry.kind === 'zeros' || entry.plainBytes !== plainBytes ? undefined : entry;
}

/** Finds the entries of a map by the SHA-256 of their data. */
export function indexDigests(map: FrameMap): DigestIndex {
  const index = new DigestIndex((entry) => map.digestAt(entry));
  for (let entry = 0; entry < map.length; entry += 1) if (map.digestAt(entry) !== undefined) index.add(entry);
  return index;
}
