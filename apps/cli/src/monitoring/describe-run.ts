import { terminalSafe } from '@gantry/core';
import type { PolicyRun } from '@gantry/policies';
import { formatBytes, formatDuration } from '@gantry/programs';
import type { ExportOfRun } from './exports-of-run.ts';
import { exportsOf, problemsOf } from './exports-of-run.ts';

const WORDS: Readonly<Record<ExportOfRun['outcome'], string>> = {
  exported: 'exported',
  copied: 'copied',
  present: 'present',
  failed: 'failed',
  left: 'left out',
};

/** What a reader needs first comes first. */
const ORDER: readonly ExportOfRun['outcome'][] = ['failed', 'left', 'copied', 'exported', 'present'];

/** A run in one line: `nightly on node1: partial, 2 of 5 exports failed`. */
export function headlineOf(run: PolicyRun): string {
  const all = exportsOf(run);
  const count = (outcome: ExportOfRun['outcome']): number => all.filter((each) => each.outcome === outcome).length;
  const [failed, problems] = [count('failed'), problemsOf(run).length];
  const parts = [
    run.outcome,
    ...(failed > 0 ? [`${failed} of ${countOf(all.length, 'export')} failed`] : [`${countOf(count('exported'), 'export')} made`]),
    ...(count('left') > 0 ? [`${count('left')} left out`] : []),
    ...(problems > 0 ? [countOf(problems, 'problem')] : []),
  ];
  return terminalSafe(`${run.policy} on ${run.host}: ${parts.join(', ')}`);
}

/** One export in one line. */
export function lineOf({ instance, store, outcome, reference, code, reason, plainBytes, storedBytes, durationMs }: ExportOfRun): string {
  const why = reason === undefined ? '' : `: ${reason}${code === undefined ? '' : ` [${code}]`}`;
  const figures = [
    ...(plainBytes === undefined ? [] : [`${formatBytes(plainBytes)} plain`]),
    ...(storedBytes === undefined ? [] : [`${formatBytes(storedBytes)} stored`]),
    ...(durationMs === undefined ? [] : [formatDuration(durationMs)]),
  ];
  const details = figures.length === 0 ? '' : ` (${figures.join(', ')})`;
  const where = store === undefined ? '' : ` ${outcome === 'exported' || outcome === 'copied' ? 'into' : 'in'} ${store}`;
  return terminalSafe(`${WORDS[outcome]}: ${reference ?? instance}${where}${details}${why}`);
}

/** The whole run for a person, what went wrong first, with what can be done about it. */
export function describeRun(run: PolicyRun): readonly string[] {
  const problems = problemsOf(run).flatMap((problem) => withHint(problemLine(problem), problem));
  const lines = exportsOf(run)
    .toSorted((a, b) => ORDER.indexOf(a.outcome) - ORDER.indexOf(b.outcome))
    .flatMap((each) => withHint(lineOf(each), each));
  const until = run.ended === undefined ? '' : ` to ${run.ended}`;
  return [headlineOf(run), `from ${run.started}${until}`, '', ...problems, ...(problems.length === 0 ? [] : ['']), ...lines];
}

/** A problem in one line. */
export function problemLine({ what, message, code }: PolicyRun['problems'][number]): string {
  return terminalSafe(`${what}: ${message} [${code}]`);
}

function withHint(line: string, { hint }: { readonly hint?: string | undefined }): readonly string[] {
  return hint === undefined ? [line] : [line, `  ${terminalSafe(hint)}`];
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
