import type { PlacedEntry } from '../frames/frame-map.ts';
import { FrameMap } from '../frames/frame-map.ts';
import { packKey } from './export-objects.ts';
import type { PackRecord } from './packs.ts';

/** A frame map and the packs to which its numbers refer. */
export interface MapWithPacks {
  readonly map: FrameMap;
  readonly packs: readonly PackRecord[];
}

/** The same map without the packs that it does not refer to. What it returns may be the map that it got. */
export function compactMap(map: FrameMap, packs: readonly PackRecord[]): MapWithPacks {
  const used = new Set<number>();
  for (const entry of map) for (const pack of packsOf(entry)) used.add(pack);
  const kept = packs.filter((_pack, number) => used.has(number));
  if (kept.length === packs.length) return { map, packs };
  const numbers = new Map([...used].toSorted((a, b) => a - b).map((old, now) => [old, now]));
  return { map: renumbered(map, (pack) => numbers.get(pack) ?? pack), packs: kept };
}

/** Several maps over one list of packs, each of which is in it once. */
export function joinMaps(all: readonly MapWithPacks[]): { readonly maps: readonly FrameMap[]; readonly packs: readonly PackRecord[] } {
  const packs: PackRecord[] = [];
  const numbers = new Map<string, number>();
  const numberOf = (pack: PackRecord): number => {
    const known = numbers.get(packKey(pack));
    if (known !== undefined) return known;
    numbers.set(packKey(pack), packs.length);
    return packs.push(pack) - 1;
  };
  const maps = all.map(({ map, packs: own }) => {
    const now = own.map(numberOf);
    return now.every((number, before) => number === before) ? map : renumbered(map, (pack) => now[pack] ?? pack);
  });
  return { maps, packs };
}

/** The numbers of the packs that an entry refers to. */
function packsOf(entry: PlacedEntry): readonly number[] {
  if (entry.kind === 'zeros') return [];
  return entry.kind === 'frame' ? [entry.place.pack] : [entry.place.pack, entry.base.pack];
}

/** A map with other numbers of packs. */
function renumbered(map: FrameMap, numberOf: (pack: number) => number): FrameMap {
  const result = new FrameMap();
  for (const entry of map) {
    if (entry.kind === 'zeros') {
      result.push(entry);
      continue;
    }
    const place = { ...entry.place, pack: numberOf(entry.place.pack) };
    if (entry.kind === 'frame') result.push({ ...entry, place });
    else result.push({ ...entry, place, base: { ...entry.base, pack: numberOf(entry.base.pack) } });
  }
  return result;
}
