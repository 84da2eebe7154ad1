import { setTimeout as wait } from 'node:timers/promises';

import type { PlainPiece } from '../frames/types.ts';
import { Interruption } from '../system/interruption.ts';
import { succeeded } from './script-errors.ts';
import type { ScriptProcess } from './script-process.ts';

/**
 * The most that a script may leave unread at the end, bytes. Readers of archives stop at their end mark, and leave what fills the last
 * record: restore(8) some ten KiB. Up to what the system's pipes hold, 64 KiB, that has never been noticed under Ganeti, so scripts
 * rely on it.
 */
const MAX_LEFT_BYTES = 128 * 1024;
/** Written separately at the end of each piece, so that the unread rest is known to within this size. */
const TAIL_BYTES = 64 * 1024;
const MAX_PAUSE_MS = 20;

/** How much a script took of its data. */
export interface Intake {
  /** Bytes that there were for it, as far as they were pulled. */
  readonly given: number;
  /** Bytes of them that it has not read; more than there were, at most by what fits into a pipe, where the exact number is unknown. */
  readonly left: number;
}

/** Whether a script that took so much and then succeeded has done its work: it may leave a last bit, but never as much as it took. */
export function tookEnough({ given, left }: Intake): boolean {
  return left === 0 || (left <= MAX_LEFT_BYTES && left < given - left);
}

/**
 * Gives a script all the pieces, then the end of the file. Stops early when the script fails, or can no longer have taken enough.
 * @throws what `pieces` throws; what interrupts
 */
export async function writeStdin(script: ScriptProcess, pieces: AsyncIterable<PlainPiece>, interruption: Interruption): Promise<Intake> {
  using whilePulling = new Interruption();
  void interruptOnFailure(script, whilePulling);
  const source = new Source(pieces);
  const sink = new Sink(script, interruption);
  try {
    while (tookEnough(sink.intake) || !sink.closed) {
      const piece = await interruption.race(whilePulling.race(source.next()));
      if (piece === undefined) {
        await sink.end();
        return sink.intake;
      }
      await sink.take(piece);
    }
  } catch (error) {
    await source.close();
    if (error !== SCRIPT_ENDED) throw error;
    return { given: sink.intake.given, left: Infinity };
  }
  await source.close();
  return sink.intake;
}

/** What ends a wait that has lost its use. */
const SCRIPT_ENDED: unique symbol = Symbol('the script has ended');

/** A script that succeeded may already have all that comes: then only the end of the data tells. */
async function interruptOnFailure(script: ScriptProcess, whilePulling: Interruption): Promise<void> {
  if (!succeeded(await script.exit)) whilePulling.interrupt(SCRIPT_ENDED);
}

/** The script's stdin, and a count of what went in. When the script takes no more, the rest is only counted. */
class Sink {
  readonly #script: ScriptProcess;
  readonly #interruption: Interruption;
  /** Waiting for space in the pipe ends with the script: a process that keeps the pipe open longer is not the script. */
  readonly #whileWriting: Interruption = new Interruption();
  #given = 0;
  #left = 0;
  #closed = false;

  constructor(script: ScriptProcess, interruption: Interruption) {
    this.#script = script;
    this.#interruption = interruption;
    void this.#closeAtExit();
  }

  get intake(): Intake {
    return { given: this.#given, left: this.#left };
  }

  /** The script takes no more. */
  get closed(): boolean {
    return this.#closed;
  }

  async take(piece: PlainPiece): Promise<void> {
    let rest = piece instanceof Uint8Array ? piece.length : piece.zeros;
    this.#given += rest;
    for (const bytes of slices(piece)) {
      if (this.#closed || !(await this.#write(bytes))) {
        this.#left += rest;
        return;
      }
      rest -= bytes.length;
    }
  }

  /** Waits until the script has read everything, or takes no more; then closes its stdin. */
  async end(): Promise<void> {
    for (let pauseMs = 1; !this.#closed && this.#unread() > 0; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      await this.#interruption.race(wait(pauseMs));
    }
    if (!this.#closed) this.#close();
    this.#script.stdin?.close();
  }

  /** @returns whether all of it is in the pipe */
  async #write(bytes: Uint8Array): Promise<boolean> {
    try {
      await this.#interruption.race(this.#whileWriting.race(this.#script.stdin?.write(bytes) ?? Promise.resolve()));
      return true;
    } catch (error) {
      if (error !== SCRIPT_ENDED && !isBrokenPipe(error)) throw error;
      this.#close();
      return false;
    }
  }

  async #closeAtExit(): Promise<void> {
    await this.#script.exit;
    this.#close();
    this.#whileWriting.interrupt(SCRIPT_ENDED);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#left += this.#unread();
  }

  #unread(): number {
    return this.#script.stdin?.unreadBytes() ?? 0;
  }
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}

/** What every hole is read from. */
const ZEROS = new Uint8Array(1024 * 1024);

function* slices(piece: PlainPiece): Generator<Uint8Array, void, undefined> {
  if (piece instanceof Uint8Array) {
    const tail = Math.max(0, piece.length - TAIL_BYTES);
    if (tail > 0) yield piece.subarray(0, tail);
    if (piece.length > 0) yield piece.subarray(tail);
    return;
  }
  let left = piece.zeros;
  while (left > 0) {
    const slice = ZEROS.subarray(0, left > TAIL_BYTES ? left - TAIL_BYTES : left);
    yield slice;
    left -= slice.length;
  }
}

/** The pieces, pulled one by one, so that waiting for the next can be given up. */
class Source {
  readonly #iterator: AsyncIterator<PlainPiece>;
  #pulling = false;

  constructor(pieces: AsyncIterable<PlainPiece>) {
    this.#iterator = pieces[Symbol.asyncIterator]();
  }

  async next(): Promise<PlainPiece | undefined> {
    this.#pulling = true;
    const step = await this.#iterator.next();
    this.#pulling = false;
    return step.done === true ? undefined : step.value;
  }

  /** Lets the source clean up. One that is still busy with the next piece does that afterwards, and is not waited for. */
  async close(): Promise<void> {
    const returned = Promise.resolve(this.#iterator.return?.()).catch(() => undefined);
    if (!this.#pulling) await returned;
  }
}
