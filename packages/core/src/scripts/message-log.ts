import { LineReader } from '../system/line-reader.ts';
import type { PipeReader } from '../system/pipe-reader.ts';
import type { Redactor } from '../report/redact.ts';
import type { ScriptLine } from './script-options.ts';

/** How many of a script's last lines are kept for errors and the manifest. */
const KEPT_LINES = 20;

/** Passes a script's messages on line by line, and keeps the last lines of all its streams together. */
export class MessageLog {
  readonly #kept: string[] = [];
  readonly #redactor: Redactor;
  readonly #onMessage: ((line: ScriptLine) => void) | undefined;

  constructor(redactor: Redactor, onMessage: ((line: ScriptLine) => void) | undefined) {
    this.#redactor = redactor;
    this.#onMessage = onMessage;
  }

  /** The last lines so far, the latest last. */
  get last(): readonly string[] {
    return [...this.#kept];
  }

  /** Resolves at the end of the stream. Never rejects because of messages: a broken stream is not a failure. */
  async follow(stream: ScriptLine['stream'], reader: PipeReader): Promise<void> {
    const lines = new LineReader(this.#redactor, (line) => this.#keep({ stream, line }));
    try {
      for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) lines.write(chunk);
    } finally {
      lines.end();
    }
  }

  #keep(line: ScriptLine): void {
    this.#kept.push(line.line);
    if (this.#kept.length > KEPT_LINES) this.#kept.shift();
    this.#onMessage?.(line);
  }
}
