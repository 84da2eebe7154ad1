import { expected, showValue, text } from '@gantry/core/documents';
import { z } from 'zod';
import { isName, NAME } from '../addresses/name.ts';
import { parseDuration, parseRate, parseTimeOfDayRange } from '../quantities.ts';

/*
 * What the values of gantry.yaml mean. The reader gives every scalar as the text that was written; editors, for which the JSON Schema is,
 * read some of them as numbers, or as true and false.
 */

/** More must be a mistake. */
const MAX_ENTRIES = 1000;
/** What editors know of a value. */
export interface EditorHints {
  readonly type?: readonly ('string' | 'integer' | 'boolean')[];
  readonly pattern?: string;
  readonly enum?: readonly (string | boolean)[];
  readonly minimum?: number;
  readonly maximum?: number;
}

/** A number without a unit is a text for Gantry, and a number for editors. */
const NUMBER_OR_TEXT: EditorHints = { type: ['string', 'integer'], minimum: 1 };

/** Of a size, with or without a unit. */
export const SIZE_PATTERN = String.raw`\d{1,9}([KkMmGgTt]([iI][bB])?)?`;

/** A value that is written as text and means something else. */
export function written<T>(what: string, parse: (value: string) => T | undefined, hints: EditorHints = {}): z.ZodType<T, string> {
  return text(what)
    .transform((value, context) => {
      const parsed = parse(value);
      if (parsed !== undefined) return parsed;
      context.addIssue({ code: 'custom', message: `must be ${what}, not ${showValue(value)}` });
      return z.NEVER;
    })
    .meta({ ...hints });
}

/** A number with a unit, or one of some words. */
export function amount<T>(what: string, parse: (value: string) => T | undefined, pattern: string): z.ZodType<T, string> {
  return written(what, parse, { ...NUMBER_OR_TEXT, pattern: `^(${pattern})$` });
}

export const list = <T, I>(item: z.ZodType<T, I>, what: string): z.ZodType<T[], I[]> =>
  z.array(item, { error: expected(`a list of ${what}`) }).max(MAX_ENTRIES, `must be at most ${MAX_ENTRIES} ${what}`);

/** Of a list in the JSON Schema: one of its items may be written without brackets. */
export const ONE_OR_MORE = 'oneOrMore';
/** Of a group in the JSON Schema: rates by parts of the day, or one rate. */
export const RATES = 'rates';

/** One value, or a list of them. */
export const oneOrMore = <T, I>(item: z.ZodType<T, I>, what: string): z.ZodType<T[]> =>
  z.preprocess(
    (value) => (typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value)) ? [value] : value),
    list(item, what)
      .refine((all) => all.length > 0, 'must not be empty')
      .meta({ minItems: 1, [ONE_OR_MORE]: true }),
  );

export const named = <T, I>(item: z.ZodType<T, I>, what: string): z.ZodType<Record<string, T>, Record<string, I>> =>
  z.record(
    z.string().refine(isName, 'is not a valid name: use a letter, then letters, digits, _ and -').meta({ pattern: NAME.source }),
    item,
    { error: expected(what) },
  );

export const group = <S extends z.ZodRawShape>(fields: S): z.ZodObject<S, z.core.$strict> =>
  z.strictObject(fields, { error: expected(`a group of fields (${Object.keys(fields).slice(0, 3).join(', ')}, …)`) });

export const truth: z.ZodType<boolean, string> = written(
  'true or false',
  (value) => (/^(true|false)$/i.test(value) ? value.toLowerCase() === 'true' : undefined),
  { type: ['boolean', 'string'], enum: [true, false, 'true', 'false'] },
);

export const whole = (minimum: number, maximum = 999_999_999): z.ZodType<number, string> =>
  written(
    `a whole number from ${minimum} to ${maximum}`,
    (value) => (/^\d{1,9}$/.test(value) && Number(value) >= minimum && Number(value) <= maximum ? Number(value) : undefined),
    { type: ['integer', 'string'], minimum, maximum, pattern: String.raw`^\d{1,9}$` },
  );

export const choice = <const T extends string>(choices: readonly T[]): z.ZodType<T, string> =>
  written(`one of ${choices.join(', ')}`, (value) => choices.find((each) => each === value), { enum: choices });

const rate = amount<number | 'unlimited'>(
  'a rate in bytes a second such as 500K or 20MiB, or unlimited',
  (value) => (value === 'unlimited' ? value : parseRate(value)),
  String.raw`unlimited|\d{1,9}([KkMmGg]([iI][bB])?)?`,
);

const DURATION: EditorHints = { pattern: String.raw`^(?=\d)(\d{1,4}w)?(\d{1,5}d)?(\d{1,6}h)?(\d{1,6}min)?(\d{1,7}s)?$` };
export const duration: z.ZodType<number, string> = written('a duration such as 26h, 1d12h or 90min', parseDuration, DURATION);

const MAX_TIME_LIMIT_MS = 24 * 3_600_000;
/** How long something may take. A timer of Node.js ends at once, if it gets more than 24.8 days. */
export const timeLimit: z.ZodType<number, string> = written(
  'a duration of at most 24h such as 30s or 5min',
  (value) => {
    const milliseconds = parseDuration(value);
    return milliseconds === undefined || milliseconds > MAX_TIME_LIMIT_MS ? undefined : milliseconds;
  },
  DURATION,
);

const RANGE_PATTERN = String.raw`^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$`;
export const range: z.ZodType<NonNullable<ReturnType<typeof parseTimeOfDayRange>>, string> = written(
  'a part of the day such as 22:00-06:00',
  parseTimeOfDayRange,
  { pattern: RANGE_PATTERN },
);

export const tag: z.ZodString = text('a tag')
  .refine((value) => /^[^\s,]{1,128}$/.test(value), 'must be a tag without white space and commas')
  .meta({ pattern: String.raw`^[^\s,]{1,128}$` });

export const argv: z.ZodType<string[], string[]> = list(text(), 'words: the program and its arguments')
  .refine((words) => words[0]?.startsWith('/') === true, 'must begin with the absolute path of a program')
  .refine((words) => words.every((word) => !word.includes('\0')), 'must not contain NUL characters')
  .meta({ minItems: 1 });

/** Rates by the parts of the day, and the one that counts for the rest. */
export interface Rates {
  readonly always: number | 'unlimited';
  readonly at: readonly { readonly range: z.output<typeof range>; readonly bytesPerSecond: number | 'unlimited' }[];
}

/** A rate, or rates by parts of the day, and `default` for the rest. */
export const limitRate: z.ZodType<Rates> = z.preprocess(
  (value) => (typeof value === 'string' ? { default: value } : value),
  z
    .record(z.string(), rate, { error: expected('a rate such as 20MiB, or rates by parts of the day') })
    .transform((rates, context) => {
      const at = Object.entries(rates).flatMap(([key, bytesPerSecond]) => {
        if (key === 'default') return [];
        const parsed = parseTimeOfDayRange(key);
        if (parsed === undefined)
          context.addIssue({ code: 'custom', path: [key], message: 'is neither a part of the day such as 22:00-06:00 nor default' });
        return parsed === undefined ? [] : [{ range: parsed, bytesPerSecond }];
      });
      return { always: rates['default'] ?? ('unlimited' as const), at };
    })
    .meta({ [RATES]: RANGE_PATTERN }),
);
