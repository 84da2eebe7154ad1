import type { Codec } from '../frames/codecs/registry.ts';
import type { FindBase } from '../frames/copy-map.ts';
import type { MapPacks } from '../frames/decode-map.ts';
import { FormatProblem } from '../frames/damage.ts';
import { DumpReader } from '../frames/dump-reader.ts';
import type { PackPlace, PatchBase } from '../frames/frame-map.ts';
import { ERROR_EXIT_CODES, GantryError } from '../report/errors.ts';

/** How many frames with the same sizes are compared with one. */
const MAX_CANDIDATES = 4;
/** How many different sizes are remembered: patches of others are stored whole. Each takes some 200 bytes of memory. */
const MAX_SIZES: number = 1024 ** 2;

/**
 * The frames from which patches in some maps differ, and which may be in none of these maps: their export was removed since. Nothing but
 * their sizes is known of them, so their stored bytes are read and compared.
 */
export class KnownBases {
  readonly #packs: MapPacks;
  readonly #bySizes = new Map<string, PatchBase[]>();

  /** @param packs those in which the frames are */
  constructor(bases: Iterable<PatchBase>, packs: MapPacks) {
    this.#packs = packs;
    for (const base of bases) this.#add(base);
  }

  readonly find: FindBase = async (base, stored, codec, signal) => {
    for (const candidate of this.#bySizes.get(sizesOf(base)) ?? []) {
      if (this.#codecOf(candidate) === codec && (await this.#isStored(candidate, stored, signal))) return candidate;
    }
    return undefined;
  };

  #add(base: PatchBase): void {
    const alike = this.#bySizes.get(sizesOf(base)) ?? [];
    if (alike.length === 0 && this.#bySizes.size === MAX_SIZES) return;
    const isNew = alike.every(({ pack, offset }) => pack !== base.pack || offset !== base.offset);
    if (isNew && alike.length < MAX_CANDIDATES) this.#bySizes.set(sizesOf(base), [...alike, base]);
  }

  #codecOf({ pack }: PackPlace): Codec | undefined {
    return this.#packs.codecs[pack];
  }

  async #isStored(place: PatchBase, stored: Uint8Array, signal: AbortSignal): Promise<boolean> {
    const found = Buffer.allocUnsafe(place.storedBytes);
    try {
      await using source = await this.#packs.open(place, signal);
      await using reader = new DumpReader(source);
      await reader.fill(found);
    } catch (error) {
      if (isDamage(error)) return false;
      throw error;
    }
    return found.equals(stored);
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof FormatProblem || (error instanceof GantryError && ERROR_EXIT_CODES[error.code] === ERROR_EXIT_CODES.DUMP_DAMAGED);
}

function sizesOf({ plainBytes, storedBytes }: PatchBase): string {
  return `${plainBytes} ${storedBytes}`;
}
