import { terminalSafe } from '@gantry/core';
import type { PolicyRun } from '@gantry/policies';
import { headlineOf, lineOf, problemLine } from './describe-run.ts';
import type { ExportOfRun } from './exports-of-run.ts';
import { exportsOf, problemsOf } from './exports-of-run.ts';
import { runWithInput } from './start-program.ts';

/** What entries of one kind have in common (systemd.journal-fields(7)). */
const MESSAGE_IDS = {
  run: 'd9c7a4b02d6b4d0f8a0f3f6d2a9e51c7',
  export: '5f0e8a61c3a34a0f9c1b7e4d8d2f6ab3',
} as const;

/** As in syslog(3). */
const PRIORITY = { error: '3', information: '6' } as const;

type Entry = Readonly<Record<string, string | undefined>>;

/** Whether what this process writes goes to the journal of systemd: then entries with fields can be found beside it. */
export function isInJournal(env: Readonly<Record<string, string | undefined>>): boolean {
  return (env['JOURNAL_STREAM'] ?? '') !== '';
}

/**
 * Writes an entry about the run, and one about each export, into the journal of systemd, with fields: `journalctl GANTRY_INSTANCE=web1`.
 *
 * @throws Error if that is not possible
 */
export async function writeJournal(run: PolicyRun, signal: AbortSignal): Promise<void> {
  for (const entry of entriesOf(run)) await runWithInput(['logger', '--journald'], textOf(entry), signal);
}

function entriesOf(run: PolicyRun): readonly Entry[] {
  const { policy, started, ended, outcome } = run;
  const common = { SYSLOG_IDENTIFIER: 'gantry', GANTRY_POLICY: policy };
  return [
    ...exportsOf(run).map((made) => Object.assign(exportFields(made), common)),
    {
      ...common,
      MESSAGE: [headlineOf(run), ...problemsOf(run).map(problemLine)].join('; '),
      MESSAGE_ID: MESSAGE_IDS.run,
      PRIORITY: outcome === 'done' ? PRIORITY.information : PRIORITY.error,
      GANTRY_RESULT: outcome,
      GANTRY_STARTED: started,
      GANTRY_ENDED: ended,
    },
  ];
}

function exportFields(made: ExportOfRun): Entry {
  const { instance, store, outcome, reference, plainBytes, storedBytes, durationMs, code } = made;
  return {
    MESSAGE: lineOf(made),
    MESSAGE_ID: MESSAGE_IDS.export,
    PRIORITY: outcome === 'failed' ? PRIORITY.error : PRIORITY.information,
    GANTRY_INSTANCE: instance,
    GANTRY_STORE: store,
    GANTRY_OUTCOME: outcome,
    GANTRY_EXPORT: reference,
    GANTRY_PLAIN_BYTES: plainBytes?.toString(),
    GANTRY_STORED_BYTES: storedBytes?.toString(),
    GANTRY_DURATION_MS: durationMs?.toString(),
    GANTRY_CODE: code,
  };
}

/** A line for each field: so no value may have line ends. */
function textOf(entry: Entry): string {
  const lines = Object.entries(entry).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${terminalSafe(value)}\n`]));
  return lines.join('');
}
