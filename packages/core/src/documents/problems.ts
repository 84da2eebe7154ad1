import type { z } from 'zod';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import { nearestNames } from '../report/nearest.ts';
import type { DocumentPlace } from './read-yaml.ts';

/** At most this many problems of a document are listed. */
const MAX_PROBLEMS = 20;

/** An invalid value: where it is, such as `disks[1].size`, and what is wrong with it, as the rest of a sentence. */
export interface DocumentProblem {
  readonly place: string;
  readonly text: string;
  /** The steps of the place, where it is known how they were written. */
  readonly path?: readonly PropertyKey[];
  /** Where it stands in the text. */
  readonly at?: DocumentPlace | undefined;
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
      path: [...issue.path, key],
      text: unknownField(style.knownFields(issue.path), key),
    }));
  }
  const { path } = issue;
  const text = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return [{ place: placeText(path, style), path, text }];
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
 * The error for a document with invalid values. A place in the text stands behind the source, or before each of several problems.
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
  const shown = problems.slice(0, MAX_PROBLEMS);
  const lines = shown.map(({ place, text }) => (place === '' ? `the document ${text}` : `${place} ${text}`));
  const places = shown.map(({ at }) => (at === undefined ? '' : `${at.line}:${at.column}: `));
  const [only = ''] = lines;
  const [first = ''] = places;
  return new GantryError(code, {
    message: `${source}:${first === '' ? ' ' : first}${count === 1 ? only : `${count} fields are not valid`}`,
    details:
      count === 1
        ? []
        : [
            ...lines.map((line, index) => `${places[index] ?? ''}${line}`),
            ...(count > lines.length ? [`and ${count - lines.length} more`] : []),
          ],
    hint,
  });
}
