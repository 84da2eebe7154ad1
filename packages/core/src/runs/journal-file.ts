import type { FileHandle } from 'node:fs/promises';

import type { JournalLine, RunHeader, RunRecord } from './run-record.ts';
import { journalLineSchema, runHeaderSchema } from './run-record.ts';
import { unusable } from './state-directory.ts';

/*
 * A journal is a file of JSON lines: the header, then what was remembered and forgotten, in order. It only grows, and each line is on
 * disk before its call resolves. A line that was cut short by a crash describes something that was not made yet.
 */

/** More than any run writes; a larger file is not read into memory. */
const MAX_JOURNAL_BYTES = 16 * 1024 * 1024;

/** The contents of a journal. */
export interface JournalContent {
  /** Absent when the run died before it wrote the header. */
  readonly header?: RunHeader;
  /** What was remembered and not forgotten, oldest first, by the number of each record. */
  readonly records: ReadonlyMap<number, RunRecord>;
  /** Length of the complete lines, bytes. */
  readonly bytes: number;
}

/** Appends to a journal: in order, durably, and so that a failed write does not affect the next. */
export class JournalWriter {
  readonly #file: FileHandle;
  #bytes: number;
  /** A line that could not be written may be in the file, behind the complete ones. */
  #hasRemainder = false;
  #last: Promise<void> = Promise.resolve();

  constructor(file: FileHandle, bytes: number) {
    this.#file = file;
    this.#bytes = bytes;
  }

  /** Resolves when the line is on disk. @throws GantryError STATE_UNUSABLE */
  async append(line: RunHeader | JournalLine): Promise<void> {
    const before = this.#last;
    const written = before.then(() => this.#write(Buffer.from(`${JSON.stringify(line)}\n`)));
    this.#last = written.catch(() => undefined);
    await written;
  }

  /**
   * Removes what a failed write left before the next: a shorter line over a longer one would leave the end of that one behind it, which
   * nobody could read, and the whole journal with it.
   */
  async #write(bytes: Buffer): Promise<void> {
    try {
      if (this.#hasRemainder) await this.#file.truncate(this.#bytes);
      this.#hasRemainder = true;
      const { bytesWritten } = await this.#file.write(bytes, 0, bytes.length, this.#bytes);
      if (bytesWritten < bytes.length) throw Object.assign(new Error('ENOSPC: no space left for a complete line'), { code: 'ENOSPC' });
      await this.#file.datasync();
      this.#bytes += bytes.length;
      this.#hasRemainder = false;
    } catch (error) {
      await this.#removeRemainder();
      throw unusable('cannot write the journal of this run', error);
    }
  }

  async #removeRemainder(): Promise<void> {
    try {
      await this.#file.truncate(this.#bytes);
      this.#hasRemainder = false;
    } catch {
      // Tried again before the next line is written.
    }
  }
}

/**
 * Reads a journal.
 * @throws Error with the reason when it is not a journal: not JSON, not of this shape, or too large
 */
export async function readJournal(file: FileHandle): Promise<JournalContent> {
  const { size } = await file.stat();
  if (size > MAX_JOURNAL_BYTES) throw new Error(`it is too large: ${size} bytes, more than any run writes`);
  const content = Buffer.alloc(size);
  await file.read(content, 0, size, 0);
  return parseJournal(content);
}

/** @throws Error with the reason when it is not a journal */
export function parseJournal(content: Buffer): JournalContent {
  // What follows the last newline was being written when the run died.
  const bytes = content.lastIndexOf('\n') + 1;
  const [first, ...lines] = content.toString('utf8', 0, bytes).split('\n').slice(0, -1);
  const records = new Map<number, RunRecord>();
  if (first === undefined) return { records, bytes };
  const header = parseLine(first, 1, runHeaderSchema);
  for (const [index, text] of lines.entries()) {
    const line = parseLine(text, index + 2, journalLineSchema);
    if ('forget' in line) records.delete(line.forget);
    else records.set(line.remember, line.record);
  }
  return { header, records, bytes };
}

function parseLine<T>(text: string, number: number, schema: { parse(value: unknown): T }): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new Error(`line ${number} is not a line of a journal`, { cause: error });
  }
}
