import { VERSION } from '../report/version.ts';
import { PIPE_VERSION } from './messages.ts';

/** The line that each side sends first; it stays the same in all versions of the protocol. */
export const GREETING: string = `gantry-pipe ${PIPE_VERSION} ${VERSION}\n`;

const PREFIX = Buffer.from('gantry-pipe ');
const MAX_GREETING_BYTES = 80;
const PATTERN = /^gantry-pipe (\d{1,6}) ([\w.+-]{1,40})$/;

export type Greeted =
  /** Not enough has arrived yet. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'greeting'; readonly protocol: number; readonly version: string; readonly rest: Uint8Array }
  /** The other side is not Gantry. */
  | { readonly kind: 'other'; readonly text: string };

/** Reads the other side's greeting as it arrives. */
export class GreetingReader {
  #held = Buffer.alloc(0);

  push(chunk: Uint8Array): Greeted {
    this.#held = Buffer.concat([this.#held, chunk]);
    const known = Math.min(PREFIX.length, this.#held.length);
    if (!this.#held.subarray(0, known).equals(PREFIX.subarray(0, known))) return this.#other();
    const end = this.#held.subarray(0, MAX_GREETING_BYTES).indexOf('\n');
    if (end === -1) return this.#held.length < MAX_GREETING_BYTES ? { kind: 'waiting' } : this.#other();
    const match = PATTERN.exec(this.#held.toString('latin1', 0, end));
    if (match === null) return this.#other();
    const [, protocol = '', version = ''] = match;
    return { kind: 'greeting', protocol: Number(protocol), version, rest: this.#held.subarray(end + 1) };
  }

  #other(): Greeted {
    return { kind: 'other', text: this.#held.toString('utf8', 0, 200) };
  }
}
