import { z } from 'zod';

const CONTROL_CHARACTER = /\p{Cc}/u;

/** Says what is wrong with a value of the wrong type, without showing the value, which may be a secret. */
export function expected(what: string): (issue: { readonly input?: unknown }) => string {
  return ({ input }) => {
    if (input === undefined) return 'is missing';
    if (input === null) return `has no value: write ${what}, or leave the field out`;
    return `must be ${what}, not ${typeName(input)}`;
  };
}

function typeName(value: unknown): string {
  if (typeof value === 'string') return 'text';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a group of fields' : `a ${typeof value}: write it in quotes`;
}

/** A value that is written and used as text. */
export type Text = z.ZodType<string, string>;

/** Any text; `what` it should be, for messages. */
export const text = (what = 'text'): z.ZodString => z.string({ error: expected(what) });

/** One line of text. */
export const line: Text = text().refine((value) => !CONTROL_CHARACTER.test(value), 'must not contain control characters');

export const nonEmptyLine: Text = line.refine((value) => value !== '', 'must not be empty').meta({ minLength: 1 });

/** On failure, shows the value (which is not a secret) and what it should have been. */
export function checked(what: string, isRight: (value: string) => boolean, base: z.ZodString = text(what)): Text {
  return base.refine((value) => !CONTROL_CHARACTER.test(value) && isRight(value), {
    error: ({ input }) => `must be ${what}, not ${showValue(input)}`,
  });
}

/** More of a value than that says no more, characters. */
const MAX_SHOWN_LENGTH = 200;

/** A value as a message shows it: in quotation marks, and only its start if it is long. */
export function showValue(value: unknown): string {
  const text = typeof value === 'string' && value.length > MAX_SHOWN_LENGTH ? `${value.slice(0, MAX_SHOWN_LENGTH)}…` : value;
  return JSON.stringify(text) ?? String(text);
}

/** Text that matches a pattern, which the JSON Schema has too. */
export function matching(what: string, pattern: RegExp): Text {
  return checked(what, (value) => pattern.test(value)).meta({ pattern: pattern.source });
}
