import type { Reporter } from '../report/reporter.ts';
import type { ScriptName } from '../scripts/definition.ts';
import type { ScriptOptions } from '../scripts/script-options.ts';
import type { Run } from '../runs/journal.ts';

/** How a script of this run is started: its output becomes events, and its process group is in the journal while it runs. */
export function scriptHooks(
  script: ScriptName,
  { run, reporter, signal, debug, disk }: { run: Run; reporter: Reporter; signal: AbortSignal; debug: boolean | undefined; disk?: number },
): ScriptOptions {
  const ids = new Map<number, number>();
  return {
    signal,
    debug,
    onMessage: ({ stream, line }) =>
      reporter.emit({ type: 'message', operation: reporter.operation, script, stream, line, ...(disk === undefined ? {} : { disk }) }),
    onWarning: (message) => reporter.warn(message, disk),
    onStart: async (group) => {
      ids.set(group.pgid, await run.remember({ kind: 'script', ...group, script, operation: reporter.operation }));
    },
    onEnd: async (group) => {
      const id = ids.get(group.pgid);
      if (id !== undefined) await run.forget(id);
    },
  };
}
