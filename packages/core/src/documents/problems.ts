import type { z } from 'zod';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import { nearestNames } from '../report/nearest.ts';

/** At most this many problems of a document are listed. */
const MAX_PROBLEMS = 20;

/** An invalid value: where it is, such as `disks[1].size`, and what is wrong with it, as the rest of a sentence. */
export interface DocumentProblem {
  readonly place: string;
  readonly text: string;
}

/** How problems of a kind of document are shown. */
export interface ProblemStyle {
  /** The fields that the group at a path, its names joined by dots, may have: for suggestions. */
  readonly knownFields: (path: readonly PropertyKey[]) => readonly string[];
  /** The name of a field, short and safe for a terminal. */
  readonly nameOf: (name: string, path: readonly PropertyKey[]) => string;
}

/** What a schema found, with at most {@link MAX_PROBLEMS} problems; `count` is the number of all. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], style: ProblemStyle): { problems: DocumentProblem[]; count: number } {
  const count = issues.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1), 0);
  return { problems: issues.slice(0, MAX_PROBLEMS).flatMap((issue) => toProblems(issue, style)), count };
}

function toProblems(issue: z.core.$ZodIssue, style: ProblemStyle): DocumentProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, MAX_PROBLEMS).map((key) => ({
      place: placeText([...issue.path, key], style),
      text: unknownField(style.knownFields(issue.path), key),
    }));
  }
  if (issue.code === 'invalid_key') return [{ place: placeText(issue.path, style), text: issue.issues[0]?.message ?? issue.message }];
  return [{ place: placeText(issue.path, style), text: issue.message }];
}

function unknownField(known: readonly string[], key: string): string {
  const [nearest] = nearestNames(key, known);
  return nearest === undefined ? 'is not a field that Gantry knows' : `is not a field that Gantry knows; did you mean ${nearest}?`;
}

/** A path as messages show it, such as `disks[1].size`. */
export function placeText(path: readonly PropertyKey[], { nameOf }: Pick<ProblemStyle, 'nameOf'>): string {
  return path
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${nameOf(String(step), path)}`))
    .join('');
}

/**
 * The error for a document with invalid values.
 *
 * @param count of all problems; only the first are listed
 */
export function invalidDocument(
  code: GantryErrorCode,
  {
    source,
    problems,
    count,
    hint,
  }: { readonly source: string; readonly problems: readonly DocumentProblem[]; readonly count: number; readonly hint: string },
): GantryError {
  const lines = problems.slice(0, MAX_PROBLEMS).map(({ place, text }) => (place === '' ? `the document ${text}` : `${place} ${text}`));
  const [only = ''] = lines;
  return new GantryError(code, {
    message: count === 1 ? `${source}: ${only}` : `${source}: ${count} fields are not valid`,
    details: count === 1 ? [] : [...lines, ...(count > lines.length ? [`and ${count - lines.length} more`] : [])],
    hint,
  });
}
