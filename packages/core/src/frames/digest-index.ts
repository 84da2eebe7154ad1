import { asBuffer } from '../system/as-buffer.ts';

const FIRST_SLOTS = 1024;

/**
 * Finds digests among those of a growing list. Needs 8 to 16 bytes of memory for each, besides the list itself.
 */
export class DigestIndex {
  readonly #digestAt: (index: number) => Uint8Array | undefined;
  /** Index in the list plus 1; 0 for a free slot. At most half of them are taken. */
  #slots = new Uint32Array(FIRST_SLOTS);
  #length = 0;

  /** @param digestAt the list */
  constructor(digestAt: (index: number) => Uint8Array | undefined) {
    this.#digestAt = digestAt;
  }

  /** Adds the digest at this index of the list. Of equal ones, the first is found. */
  add(index: number): void {
    if ((this.#length + 1) * 2 > this.#slots.length) this.#grow();
    this.#put(index);
    this.#length += 1;
  }

  /** The index of this digest in the list; undefined if it was not added. */
  find(digest: Uint8Array): number | undefined {
    const bytes = asBuffer(digest);
    for (let slot = this.#slotOf(bytes); ; slot = (slot + 1) % this.#slots.length) {
      const taken = this.#slots[slot] ?? 0;
      if (taken === 0) return undefined;
      const other = this.#digestAt(taken - 1);
      if (other !== undefined && bytes.equals(other)) return taken - 1;
    }
  }

  #put(index: number): void {
    const digest = this.#digestAt(index);
    if (digest === undefined) throw new RangeError(`no digest ${index}`);
    let slot = this.#slotOf(asBuffer(digest));
    while (this.#slots[slot] !== 0) slot = (slot + 1) % this.#slots.length;
    this.#slots[slot] = index + 1;
  }

  /** Digests are as good as random: their first bytes spread them. */
  #slotOf(digest: Buffer): number {
    return digest.readUInt32LE(0) % this.#slots.length;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    // In the order of the list, so that of equal digests the first stays the first.
    for (const index of old.filter((taken) => taken > 0).toSorted()) this.#put(index - 1);
  }
}
