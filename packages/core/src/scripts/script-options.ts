import type { ProcessGroup } from '../system/process-group.ts';

/** One line that a script wrote for the user, safe for a terminal and without private parameters. */
export interface ScriptLine {
  readonly stream: 'stdout' | 'stderr';
  readonly line: string;
}

/** Options for running any script. */
export interface ScriptOptions {
  /** Ends the script's process group; the run then rejects with the signal's reason, when all its processes have ended. */
  readonly signal?: AbortSignal | undefined;
  /** The script gets `DEBUG_LEVEL=1`. */
  readonly debug?: boolean | undefined;
  /** Time between SIGTERM and SIGKILL, ms; 5000 when absent. */
  readonly graceMs?: number | undefined;
  /** Called with each line. Must not throw. */
  readonly onMessage?: ((line: ScriptLine) => void) | undefined;
  /** Called with what the user should know although nothing failed. Must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Awaited before the script is started. If it rejects, the run rejects with the same error. */
  readonly beforeStart?: (() => Promise<void>) | undefined;
  /** Remembers the script's process group. No instruction of the script runs before this has resolved. */
  readonly onStart?: ((group: ProcessGroup) => Promise<void>) | undefined;
  /** Called when all processes of the script have ended. */
  readonly onEnd?: ((group: ProcessGroup) => Promise<void>) | undefined;
}

/** The result of a script that succeeded. */
export interface ScriptOutcome {
  /** Its last lines. */
  readonly messages: readonly string[];
}
