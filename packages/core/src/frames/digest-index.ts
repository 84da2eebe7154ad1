import { randomFillSync } from 'node:crypto';
import { DIGEST_BYTES } from '../system/sha256.ts';

const FIRST_SLOTS = 1024;

/**
 * A random number for each value of each byte of a digest; those of a digest are combined (simple tabulation hashing, Pătraşcu and Thorup,
 * 2012). A digest may come from a frame map of somebody else, who chose it so that many would share a slot: without these numbers, nobody can.
 */
const SPREAD: Uint32Array = randomFillSync(new Uint32Array(DIGEST_BYTES * 256));

/**
 * Finds digests among those of a growing list. Needs 8 to 16 bytes of memory for each different one, besides the list itself.
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

  /** Adds the digest at this index of the list, unless an equal one was added before. */
  add(index: number): void {
    if ((this.#length + 1) * 2 > this.#slots.length) this.#grow();
    const slot = this.#slotFor(this.#digest(index));
    if (this.#slots[slot] !== 0) return;
    this.#slots[slot] = index + 1;
    this.#length += 1;
  }

  /** The index of this digest in the list; of equal ones, that which was added first; undefined if it was not added. */
  find(digest: Uint8Array): number | undefined {
    const taken = this.#slots[this.#slotFor(digest)] ?? 0;
    return taken === 0 ? undefined : taken - 1;
  }

  /** The slot that has this digest, or the free one where it belongs. */
  #slotFor(digest: Uint8Array): number {
    for (let slot = this.#firstSlotOf(digest); ; slot = (slot + 1) % this.#slots.length) {
      const taken = this.#slots[slot] ?? 0;
      if (taken === 0 || Buffer.compare(digest, this.#digest(taken - 1)) === 0) return slot;
    }
  }

  #digest(index: number): Uint8Array {
    const digest = this.#digestAt(index);
    if (digest === undefined) throw new RangeError(`no digest ${index}`);
    return digest;
  }

  #firstSlotOf(digest: Uint8Array): number {
    let hash = 0;
    for (let place = 0; place < DIGEST_BYTES; place += 1) hash ^= SPREAD[place * 256 + (digest[place] ?? 0)] ?? 0;
    return (hash >>> 0) % this.#slots.length;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    for (const taken of old) if (taken > 0) this.#slots[this.#slotFor(this.#digest(taken - 1))] = taken;
  }
}
