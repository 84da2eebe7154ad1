import { orAbort } from '@gantry/transport';
import { WireProblem } from './wire.ts';

/** More than any receiver has reason to allow, bytes. */
const MOST = 2 ** 31;

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
    if (this.#bytes > MOST) throw new WireProblem('it allows more data than can be');
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Waits until something may be sent. @returns how much of `bytes` may be sent now */
  async take(bytes: number, signal: AbortSignal): Promise<number> {
    while (this.#bytes === 0) await orAbort(this.#changed.promise, signal);
    const taken = Math.min(bytes, this.#bytes);
    this.#bytes -= taken;
    return taken;
  }
}
