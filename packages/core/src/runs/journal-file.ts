import type { FileHandle } from 'node:fs/promises';

import type { JournalLine, RunHeader, RunRecord } from './run-record.ts';
import { journalLineSchema, runHeaderSchema } from './run-record.ts';
import { unusable } from './state-directory.ts';

/*
 * A journal is a file of JSON lines: the header, then what was remembered and forgotten, in order. It only grows, line by line, each
 * on disk before its call resolves; a line that a crash cut short describes nothing that was made.
 */

/** More than any run writes; a file beyond it is not read into memory. */
const LARGEST_JOURNAL_BYTES = 16 * 1024 * 1024;

/** What a journal says. */
export interface JournalContent {
  /** Absent when its run died before it had written even that. */
  readonly header?: RunHeader;
  /** What was remembered and not forgotten, oldest first, by the numbers they were remembered under. */
  readonly records: ReadonlyMap<number, RunRecord>;
  /** How many bytes of the file are whole lines. */
  readonly bytes: number;
}

/** Appends to a journal: in order, durably, and so that a failed write is not in the way of the next. */
export class JournalWriter {
  readonly #file: FileHandle;
  #bytes: number;
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

  async #write(bytes: Buffer): Promise<void> {
    try {
      const { bytesWritten } = await this.#file.write(bytes, 0, bytes.length, this.#bytes);
      if (bytesWritten < bytes.length) throw Object.assign(new Error('ENOSPC: no space left for a whole line'), { code: 'ENOSPC' });
      await this.#file.datasync();
      this.#bytes += bytes.length;
    } catch (error) {
      await this.#file.truncate(this.#bytes).catch(() => undefined);
      throw unusable('cannot write the journal of this run', error);
    }
  }
}

/**
 * Reads what a journal says.
 * @throws Error with the reason when it is not a journal: not JSON, not of these shapes, too large
 */
export async function readJournal(file: FileHandle): Promise<JournalContent> {
  const { size } = await file.stat();
  if (size > LARGEST_JOURNAL_BYTES) throw new Error(`it has ${size} bytes, more than any run writes`);
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
    throw new Error(`line ${number} is not one of a journal`, { cause: error });
  }
}
