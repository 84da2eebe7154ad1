import type { ProcessGroup } from '../system/process-group.ts';

/** One line that a script wrote for the user, fit for a terminal, without private parameters. */
export interface ScriptLine {
  readonly stream: 'stdout' | 'stderr';
  readonly line: string;
}

/** What running any script takes. */
export interface ScriptOptions {
  /** Ends the script's whole group; the run then rejects with the signal's reason, when nothing of it runs any more. */
  readonly signal?: AbortSignal | undefined;
  /** The script gets `DEBUG_LEVEL=1`. */
  readonly debug?: boolean | undefined;
  /** How long a script that was told to end has to do so, milliseconds; 5000 where absent. */
  readonly graceMs?: number | undefined;
  /** Lines as they come. Must not throw. */
  readonly onMessage?: ((line: ScriptLine) => void) | undefined;
  /** Something that the user should know although nothing failed. Must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Waited for before the script is started. What it rejects with, the run rejects with. */
  readonly beforeStart?: (() => Promise<void>) | undefined;
  /** Remembers the script's process group. Not one instruction of the script runs before this has resolved. */
  readonly onStart?: ((group: ProcessGroup) => Promise<void>) | undefined;
  /** Called when nothing of the script runs any more. */
  readonly onEnd?: ((group: ProcessGroup) => Promise<void>) | undefined;
}

/** What is left of a script that succeeded. */
export interface ScriptOutcome {
  /** Its last lines. */
  readonly messages: readonly string[];
}
