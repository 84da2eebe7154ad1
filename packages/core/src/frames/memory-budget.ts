import { orAbort } from '@gantry/transport';

interface Waiter {
  readonly share: BudgetShare;
  readonly bytes: number;
  readonly grant: () => void;
}

/**
 * How much memory the frames of several dumps may use together, and the memory itself: released buffers are reused, because fresh
 * memory costs a page fault for every 4 KiB.
 *
 * Each dump has a share. A share without a buffer gets one at once, so that every dump makes progress, however small the budget is and
 * however much the others hold. All other requests are granted in order.
 */
export class MemoryBudget {
  /** Bytes. Exceeded by at most one buffer for each share. */
  readonly limit: number;
  readonly #waiters = new Set<Waiter>();
  readonly #unused = new Map<number, Uint8Array[]>();
  #usedBytes = 0;
  #unusedBytes = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes in use now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  share(): BudgetShare {
    return new BudgetShare(this);
  }

  /** Only for {@link BudgetShare.acquire}. */
  async allocate(share: BudgetShare, bytes: number, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter: Waiter = { share, bytes, grant: resolve };
    this.#waiters.add(waiter);
    this.#grant();
    try {
      await orAbort(promise, signal);
    } catch (error) {
      // If it was granted at the same moment, the others get it.
      if (!this.#waiters.delete(waiter)) this.#reclaimBytes(share, bytes);
      this.#grant();
      throw error;
    }
    return this.#unusedBuffer(bytes) ?? this.#newBuffer(bytes);
  }

  /** Only for {@link BudgetShare.release}. */
  reclaim(share: BudgetShare, buffer: Uint8Array): void {
    this.#reclaimBytes(share, buffer.length);
    const unused = this.#unused.get(buffer.length);
    if (unused === undefined) this.#unused.set(buffer.length, [buffer]);
    else unused.push(buffer);
    this.#unusedBytes += buffer.length;
    this.#grant();
  }

  /** Only for {@link BudgetShare.discard}. */
  forget(share: BudgetShare, bytes: number): void {
    this.#reclaimBytes(share, bytes);
    this.#grant();
  }

  #reclaimBytes(share: BudgetShare, bytes: number): void {
    this.#usedBytes -= bytes;
    share.buffers -= 1;
  }

  #grant(): void {
    let hasSpace = true;
    for (const waiter of this.#waiters) {
      const fits: boolean = hasSpace && this.#usedBytes + waiter.bytes <= this.limit;
      // Later requests must not overtake one that waits for more memory.
      hasSpace &&= fits;
      if (!fits && waiter.share.buffers > 0) continue;
      this.#waiters.delete(waiter);
      this.#usedBytes += waiter.bytes;
      waiter.share.buffers += 1;
      waiter.grant();
    }
  }

  #unusedBuffer(bytes: number): Uint8Array | undefined {
    const buffer = this.#unused.get(bytes)?.pop();
    if (buffer !== undefined) this.#unusedBytes -= bytes;
    return buffer;
  }

  #newBuffer(bytes: number): Uint8Array {
    // Unused buffers, perhaps of sizes that are no longer needed, are freed.
    if (this.#usedBytes + this.#unusedBytes > this.limit) {
      this.#unused.clear();
      this.#unusedBytes = 0;
    }
    return Buffer.allocUnsafeSlow(bytes);
  }
}

/** One dump's share of a {@link MemoryBudget}. */
export class BudgetShare {
  /** Number of buffers in use; maintained by the budget. */
  buffers = 0;
  readonly #budget: MemoryBudget;

  constructor(budget: MemoryBudget) {
    this.#budget = budget;
  }

  /** A buffer of exactly this many bytes; its contents are undefined. Rejects with the signal's reason. */
  acquire(bytes: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#budget.allocate(this, bytes, signal);
  }

  /** For a buffer that may still be written to: its memory is not reused. */
  discard(buffer: Uint8Array): void {
    this.#budget.forget(this, buffer.length);
  }

  /** The buffer must not be used any more. */
  release(buffer: Uint8Array): void {
    this.#budget.reclaim(this, buffer);
  }
}
