/** The two ends of a connection. */
export type Side = 'client' | 'server';

interface Hold {
  readonly side: Side;
  missingBytes: number;
  readonly held: (() => void)[];
  readonly released: PromiseWithResolvers<void>;
}

/** Holds back what a server sends until enough bytes have arrived from one side. */
export class HeldAnswers {
  #hold: Hold | undefined;

  /** Starts to hold answers back. Resolves when they are released. */
  until(side: Side, bytes: number): Promise<void> {
    const released = Promise.withResolvers<void>();
    this.#hold = { side, missingBytes: bytes, held: [], released };
    return released.promise;
  }

  /** Calls `pass` for bytes that arrived from `side`: now, or when answers are released. */
  forward(side: Side, bytes: number, pass: () => void): void {
    const hold = this.#hold;
    if (hold === undefined || side === 'client') pass();
    else hold.held.push(pass);
    if (hold === undefined) return;
    if (side === hold.side) hold.missingBytes -= bytes;
    if (hold.missingBytes > 0) return;
    this.#hold = undefined;
    for (const passHeld of hold.held) passHeld();
    hold.released.resolve();
  }
}
