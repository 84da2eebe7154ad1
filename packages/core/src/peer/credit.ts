import { orAbort } from '@gantry/transport';
import { WireProblem } from './wire.ts';

/** More than any receiver needs to allow. */
const MAX_CREDIT_BYTES = 2 ** 31;

/** How many bytes of one disk may be sent. */
export class Credit {
  #bytes: number;
  #changed = Promise.withResolvers<void>();

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws WireProblem */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > MAX_CREDIT_BYTES) throw new WireProblem('it allows more data than the protocol does');
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Waits until data may be sent. @returns how much of `bytes` may be sent now */
  async take(bytes: number, signal: AbortSignal): Promise<number> {
    while (this.#bytes === 0) await orAbort(this.#changed.promise, signal);
    const taken = Math.min(bytes, this.#bytes);
    this.#bytes -= taken;
    return taken;
  }
}
