import type { Redactor } from '../report/redact.ts';
import { LineReader } from '../system/line-reader.ts';

/** More than this is data, or too much to show. */
const MAX_TEXT_BYTES = 4096;
/** The same as for messages. */
const MAX_LINES = 20;
/** Control characters that do not occur in messages; ESC (for colours) and whitespace do. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const BINARY = /[\0-\x06\x0e-\x1a\x1c-\x1f\x7f]/;

/**
 * Keeps what an export script wrote to stdout, as long as it is short. Some scripts write there why they fail, and exit with 1: plain text
 * is taken for a message.
 */
export class StdoutText {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  /** Whether the output so far may be a message. */
  get mayGoOn(): boolean {
    return this.#bytes <= MAX_TEXT_BYTES;
  }

  /** Copies what it keeps. */
  take(chunk: Uint8Array): void {
    if (!this.mayGoOn) return;
    this.#bytes += chunk.length;
    if (this.mayGoOn) this.#chunks.push(Buffer.from(chunk));
    else this.#chunks.length = 0;
  }

  /** The last lines, safe for a terminal; empty if the output is not plain text. */
  lines(redactor: Redactor): readonly string[] {
    const bytes = Buffer.concat(this.#chunks);
    if (!isPlainText(bytes)) return [];
    const lines: string[] = [];
    const reader = new LineReader(redactor, (line) => lines.push(line));
    reader.write(bytes);
    reader.end();
    return lines.filter((line) => line.trim() !== '').slice(-MAX_LINES);
  }
}

function isPlainText(bytes: Uint8Array): boolean {
  try {
    return !BINARY.test(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return false;
  }
}
