import type { Redactor } from '../report/redact.ts';
import { LineReader } from '../system/line-reader.ts';

/** More than that is data, or shows well enough without. */
const MAX_TEXT_BYTES = 4096;
/** As many as of messages. */
const MAX_LINES = 20;
/** Control characters that no message has: escape sequences (for colours) and white space are left out. */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const BINARY = /[\0-\x06\x0e-\x1a\x1c-\x1f\x7f]/;

/**
 * What an export script wrote to stdout, as long as that is little. Scripts in the wild say there why they refuse, and exit with 1;
 * where it is plain text, it is a message.
 */
export class StdoutText {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  /** Whether what has come so far may be a message. */
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

  /** Its last lines, fit for a terminal; none where it is not plain text. */
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
