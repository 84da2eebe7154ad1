import { orAbort } from '@gantry/transport';

interface Waiter {
  readonly share: BudgetShare;
  readonly bytes: number;
  readonly grant: () => void;
}

/**
 * How much memory the frames of several dumps may take together, and the memory itself: buffers are lent, given back and lent
 * again, since fresh memory costs a page fault for every 4 KiB.
 *
 * Each dump takes part with a share. A share that holds nothing is given a buffer at once, so that every dump gets on however
 * little there is and whatever the others hold; all more is granted in the order of asking.
 */
export class MemoryBudget {
  /** Bytes. Exceeded by no more than one buffer of each share. */
  readonly limit: number;
  readonly #waiters = new Set<Waiter>();
  readonly #spare = new Map<number, Uint8Array[]>();
  #lentBytes = 0;
  #spareBytes = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes that are lent now. */
  get lentBytes(): number {
    return this.#lentBytes;
  }

  share(): BudgetShare {
    return new BudgetShare(this);
  }

  /** For {@link BudgetShare.take} alone. */
  async lend(share: BudgetShare, bytes: number, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter: Waiter = { share, bytes, grant: resolve };
    this.#waiters.add(waiter);
    this.#grant();
    try {
      await orAbort(promise, signal);
    } catch (error) {
      // Granted in the same moment, it must not be lost to the others.
      if (!this.#waiters.delete(waiter)) this.#takeBackBytes(share, bytes);
      this.#grant();
      throw error;
    }
    return this.#spareBuffer(bytes) ?? this.#newBuffer(bytes);
  }

  /** For {@link BudgetShare.giveBack} alone. */
  takeBack(share: BudgetShare, buffer: Uint8Array): void {
    this.#takeBackBytes(share, buffer.length);
    const spare = this.#spare.get(buffer.length);
    if (spare === undefined) this.#spare.set(buffer.length, [buffer]);
    else spare.push(buffer);
    this.#spareBytes += buffer.length;
    this.#grant();
  }

  /** For {@link BudgetShare.drop} alone. */
  forget(share: BudgetShare, bytes: number): void {
    this.#takeBackBytes(share, bytes);
    this.#grant();
  }

  #takeBackBytes(share: BudgetShare, bytes: number): void {
    this.#lentBytes -= bytes;
    share.buffers -= 1;
  }

  #grant(): void {
    let room = true;
    for (const waiter of this.#waiters) {
      const fits: boolean = room && this.#lentBytes + waiter.bytes <= this.limit;
      // Who comes later must not slip past one that waits for more room.
      room &&= fits;
      if (!fits && waiter.share.buffers > 0) continue;
      this.#waiters.delete(waiter);
      this.#lentBytes += waiter.bytes;
      waiter.share.buffers += 1;
      waiter.grant();
    }
  }

  #spareBuffer(bytes: number): Uint8Array | undefined {
    const buffer = this.#spare.get(bytes)?.pop();
    if (buffer !== undefined) this.#spareBytes -= bytes;
    return buffer;
  }

  #newBuffer(bytes: number): Uint8Array {
    // Buffers of sizes that are out of use make room.
    if (this.#lentBytes + this.#spareBytes > this.limit) {
      this.#spare.clear();
      this.#spareBytes = 0;
    }
    return Buffer.allocUnsafeSlow(bytes);
  }
}

/** One dump's part in a {@link MemoryBudget}. */
export class BudgetShare {
  /** How many it holds; kept by the budget. */
  buffers = 0;
  readonly #budget: MemoryBudget;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /** A buffer of just that many bytes, with whatever was in it before. Rejects with the reason of the signal. */
  take(bytes: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#budget.lend(this, bytes, signal);
  }

  /** For a buffer that somebody may still write to: its memory is not lent again. */
  drop(buffer: Uint8Array): void {
    this.#budget.forget(this, buffer.length);
  }

  /** Nobody may look at the buffer any more. */
  giveBack(buffer: Uint8Array): void {
    this.#budget.takeBack(this, buffer);
  }
}
