import type { Redactor } from '../report/redact.ts';
import { terminalSafe } from '../report/terminal-text.ts';

const LINE_END = /\r\n|\n|\r/g;

/** Maximum length of a line that is passed on, characters; the rest of a longer line is dropped. */
export const MAX_LINE_CHARACTERS = 4096;

/**
 * Splits what a program writes for humans into lines ended by `\n`, `\r\n` or `\r` (as progress displays do), UTF-8 or not, safe for a
 * terminal and without the secrets. Empty lines ended by `\r` are dropped. Memory is bounded.
 */
export class LineReader {
  readonly #decoder = new TextDecoder();
  readonly #redactor: Redactor;
  readonly #onLine: (line: string) => void;
  readonly #limit: number;
  #line = '';
  #overlong = false;
  /** The last line was ended by `\r`: a `\n` right after it belongs to it. */
  #endedByReturn = false;

  constructor(redactor: Redactor, onLine: (line: string) => void) {
    this.#redactor = redactor;
    this.#onLine = onLine;
    // Longer than what is shown, so that a secret across the limit is recognised.
    this.#limit = MAX_LINE_CHARACTERS + redactor.longest;
  }

  write(bytes: Uint8Array): void {
    this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  /** The end of the stream: passes on a last line without a line end. */
  end(): void {
    this.#take(this.#decoder.decode());
    if (this.#line !== '') this.#emit();
  }

  #take(text: string): void {
    let start = 0;
    for (const { index, 0: end } of text.matchAll(LINE_END)) {
      this.#append(text.slice(start, index));
      start = index + end.length;
      const secondHalf = index === 0 && end === '\n' && this.#endedByReturn;
      const drawsAgain = end === '\r' && this.#line === '';
      if (!secondHalf && !drawsAgain) this.#emit();
      this.#endedByReturn = end === '\r' && !drawsAgain;
    }
    this.#append(text.slice(start));
    if (start < text.length) this.#endedByReturn = false;
  }

  #append(text: string): void {
    this.#line += text;
    if (this.#line.length <= this.#limit) return;
    this.#line = this.#line.slice(0, this.#limit);
    this.#overlong = true;
  }

  #emit(): void {
    const { redact, longest } = this.#redactor;
    const redacted = redact(this.#line);
    // The end of a cut line may be the beginning of a secret.
    const shown = this.#overlong ? redacted.slice(0, Math.max(0, redacted.length - longest)) : redacted;
    // Once more: an escape sequence inside may have hidden a secret.
    const safe = redact(terminalSafe(shown));
    const cut = this.#overlong || safe.length > MAX_LINE_CHARACTERS;
    this.#line = '';
    this.#overlong = false;
    this.#onLine(cut ? `${safe.slice(0, MAX_LINE_CHARACTERS)}…` : safe);
  }
}
