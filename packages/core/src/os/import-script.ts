import { setTimeout as wait } from 'node:timers/promises';

import type { PlainPiece } from '../dump/types.ts';
import type { Instance } from '../instance/model.ts';
import { importEnvironment } from './environment.ts';
import { Interruption } from './interruption.ts';
import { DEFAULT_GRACE_MS } from './process-group.ts';
import { closedInputError, succeeded } from './script-errors.ts';
import type { ScriptOptions, ScriptOutcome } from './script-options.ts';
import type { ScriptRequest } from './script-process.ts';
import { ScriptProcess } from './script-process.ts';
import { requestScript } from './script.ts';
import type { SelectedOs } from './select.ts';

export interface ImportScriptOptions extends ScriptOptions {
  readonly instance: Instance;
  /** Which disk, by its index. */
  readonly disk: number;
  /** The plain data. When it throws, the script's whole group is ended at once and the run rejects with the same error. */
  readonly pieces: AsyncIterable<PlainPiece>;
}

/**
 * Gives one disk's data to its import script. Success: the script has taken every byte and exited with status 0.
 * @throws GantryError `SCRIPT_START`, `SCRIPT_FAILED`, `SCRIPT_SIGNALLED`, `SCRIPT_CLOSED_INPUT`, `OS_OPERATION_UNSUPPORTED`; what
 *   `pieces` throws; the reason of the signal
 */
export async function runImportScript(os: SelectedOs, o: ImportScriptOptions): Promise<ScriptOutcome> {
  const environment = importEnvironment(os, o.instance, { debug: o.debug, index: o.disk });
  const request: ScriptRequest = { ...requestScript(os, 'import', environment, o.instance), disk: o.disk, reads: 'data' };
  using interruption = new Interruption(o.signal);
  await using script = await ScriptProcess.start(request, o);
  const tookAll = await feed(script, o.pieces, interruption);
  // One that takes no more has its reasons: its status says more than ours.
  if (!tookAll) await interruption.race(Promise.race([script.exit, wait(o.graceMs ?? DEFAULT_GRACE_MS, undefined, { ref: false })]));
  else await interruption.race(script.exit);
  const endedByItself = script.exited !== undefined;
  await script.close();
  const failure = script.failure();
  if (endedByItself && failure !== undefined) throw failure;
  if (!tookAll) throw closedInputError(request, script.messages);
  return { messages: script.messages };
}

/** Gives the script all the pieces, then the end of the file. @returns false when the script took less than all */
async function feed(script: ScriptProcess, pieces: AsyncIterable<PlainPiece>, interruption: Interruption): Promise<boolean> {
  // While data is being waited for, a script that failed ends that; one that succeeded may already have all that comes.
  using whilePulling = new Interruption();
  using whileWriting = new Interruption();
  void stopAtExit(script, whilePulling, whileWriting);
  const source = new Source(pieces);
  try {
    for (;;) {
      const piece = await interruption.race(whilePulling.race(source.next()));
      if (piece === undefined) break;
      for (const bytes of slices(piece)) await interruption.race(whileWriting.race(write(script, bytes)));
    }
  } catch (error) {
    await source.letGo();
    if (error === TOOK_LESS) return false;
    throw error;
  }
  return emptied(script, interruption);
}

async function stopAtExit(script: ScriptProcess, whilePulling: Interruption, whileWriting: Interruption): Promise<void> {
  const exit = await script.exit;
  whileWriting.interrupt(TOOK_LESS);
  if (!succeeded(exit)) whilePulling.interrupt(TOOK_LESS);
}

const TOOK_LESS: unique symbol = Symbol('the script took less than all');

async function write(script: ScriptProcess, bytes: Uint8Array): Promise<void> {
  try {
    await script.stdin?.write(bytes);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EPIPE') throw TOOK_LESS;
    throw error;
  }
}

/** Waits until the script has taken the last bytes out of the pipe, then closes it. @returns false when it ended without */
async function emptied(script: ScriptProcess, interruption: Interruption): Promise<boolean> {
  for (let pauseMs = 1; (script.stdin?.unreadBytes() ?? 0) > 0; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    if (script.exited !== undefined) return false;
    await interruption.race(wait(pauseMs));
  }
  script.stdin?.close();
  return true;
}

const LONGEST_PAUSE_MS = 20;

/** What every hole is read from. */
const ZEROS = new Uint8Array(1024 * 1024);

function* slices(piece: PlainPiece): Generator<Uint8Array, void, undefined> {
  if (piece instanceof Uint8Array) {
    if (piece.length > 0) yield piece;
    return;
  }
  for (let left = piece.zeros; left > 0; left -= ZEROS.length) yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
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
  async letGo(): Promise<void> {
    const returned = Promise.resolve(this.#iterator.return?.()).catch(() => undefined);
    if (!this.#pulling) await returned;
  }
}
