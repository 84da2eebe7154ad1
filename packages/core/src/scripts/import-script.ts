import { setTimeout as wait } from 'node:timers/promises';

import type { PlainPiece } from '../frames/types.ts';
import type { Instance } from '../instances/model.ts';
import { importEnvironment } from './environment.ts';
import { writeStdin, tookEnough } from './write-stdin.ts';
import { Interruption } from '../system/interruption.ts';
import { DEFAULT_GRACE_MS } from '../system/process-group.ts';
import { closedInputError, describeScript } from './script-errors.ts';
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
 * Gives one disk's data to its import script. Success: the script has taken it and exited with status 0. It may leave a last bit
 * unread, of which is warned, but not more.
 * @throws GantryError `SCRIPT_START`, `SCRIPT_FAILED`, `SCRIPT_SIGNALLED`, `SCRIPT_CLOSED_INPUT`, `OS_OPERATION_UNSUPPORTED`; what
 *   `pieces` throws; the reason of the signal
 */
export async function runImportScript(os: SelectedOs, o: ImportScriptOptions): Promise<ScriptOutcome> {
  const environment = importEnvironment(os, o.instance, { debug: o.debug, index: o.disk });
  const request: ScriptRequest = { ...requestScript(os, 'import', environment, o.instance), disk: o.disk, reads: 'data' };
  using interruption = new Interruption(o.signal);
  await using script = await ScriptProcess.start(request, o);
  const intake = await writeStdin(script, o.pieces, interruption);
  const enough = tookEnough(intake);
  // One that takes no more has its reasons: its status says more than ours, if it comes soon.
  const ending = enough ? script.exit : Promise.race([script.exit, wait(o.graceMs ?? DEFAULT_GRACE_MS, undefined, { ref: false })]);
  await interruption.race(ending);
  const endedByItself = script.exited !== undefined;
  await script.close();
  const failure = script.failure();
  if (endedByItself && failure !== undefined) throw failure;
  if (!enough) throw closedInputError(request, script.messages);
  if (intake.left > 0) o.onWarning?.(`${describeScript(request)} did not read the end of its data (${String(intake.left)} bytes)`);
  return { messages: script.messages };
}
