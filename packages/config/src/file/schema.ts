import { CODEC_NAMES, parseSnapshotSize, SNAPSHOT_MODES } from '@gantry/core';
import { expected, nonEmptyLine, text } from '@gantry/core/documents';
import { z } from 'zod';
import { parseBudget, parseDuration, parseKeepCount, parseRate, parseTimeOfDayRange, parseWithin } from '../quantities.ts';

/*
 * The fields of gantry.yaml, in kebab case as options on the command line, and what their values mean. The reader gives every scalar as
 * the text that was written.
 */

/** More must be a mistake. */
const MAX_ENTRIES = 1000;
/** Of stores, inventories and policies: a word that cannot be a path or a URL. */
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/** Whether a store, an inventory or a policy can have this name. */
export function isName(value: string): boolean {
  return NAME.test(value);
}

/** A value that is written as text and means something else. */
function written<T>(what: string, parse: (value: string) => T | undefined): z.ZodType<T, string> {
  return text(what).transform((value, context) => {
    const parsed = parse(value);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: `must be ${what}, not ${JSON.stringify(value)}` });
    return z.NEVER;
  });
}

const list = <T, I>(item: z.ZodType<T, I>, what: string): z.ZodType<T[], I[]> =>
  z.array(item, { error: expected(`a list of ${what}`) }).max(MAX_ENTRIES, `must be at most ${MAX_ENTRIES} ${what}`);

/** One value, or a list of them. */
const oneOrMore = <T, I>(item: z.ZodType<T, I>, what: string): z.ZodType<T[]> =>
  z.preprocess(
    (value) => (typeof value === 'string' || (typeof value === 'object' && value !== null && !Array.isArray(value)) ? [value] : value),
    list(item, what).refine((all) => all.length > 0, 'must not be empty'),
  );

const named = <T, I>(item: z.ZodType<T, I>, what: string): z.ZodType<Record<string, T>, Record<string, I>> =>
  z.record(z.string().refine(isName, 'is not a valid name: use a letter, then letters, digits, _ and -'), item, { error: expected(what) });

const group = <S extends z.ZodRawShape>(fields: S): z.ZodObject<S, z.core.$strict> =>
  z.strictObject(fields, { error: expected(`a group of fields (${Object.keys(fields).slice(0, 3).join(', ')}, …)`) });

const truth = written('true or false', (value) => (/^(true|false)$/i.test(value) ? value.toLowerCase() === 'true' : undefined));
const whole = (minimum: number, maximum = 999_999_999): z.ZodType<number, string> =>
  written(`a whole number from ${minimum} to ${maximum}`, (value) =>
    /^\d{1,9}$/.test(value) && Number(value) >= minimum && Number(value) <= maximum ? Number(value) : undefined,
  );
const choice = <const T extends string>(choices: readonly T[]): z.ZodType<T, string> =>
  written(`one of ${choices.join(', ')}`, (value) => choices.find((each) => each === value));
const rate = written<number | 'unlimited'>('a rate in bytes a second such as 500K or 20MiB, or unlimited', (value) =>
  value === 'unlimited' ? value : parseRate(value),
);
const duration = written('a duration such as 26h, 1d12h or 90min', parseDuration);
const range = written('a part of the day such as 22:00-06:00', parseTimeOfDayRange);
const tag = text('a tag').refine((value) => /^[^\s,]{1,128}$/.test(value), 'must be a tag without white space and commas');
const argv = list(text(), 'words: the program and its arguments')
  .refine((words) => words[0]?.startsWith('/') === true, 'must begin with the absolute path of a program')
  .refine((words) => words.every((word) => !word.includes('\0')), 'must not contain NUL characters');

/** A rate, or rates by parts of the day, and `default` for the rest. */
const limitRate = z.preprocess(
  (value) => (typeof value === 'string' ? { default: value } : value),
  z.record(z.string(), rate, { error: expected('a rate such as 20MiB, or rates by parts of the day') }).transform((rates, context) => {
    const at = Object.entries(rates).flatMap(([key, bytesPerSecond]) => {
      if (key === 'default') return [];
      const parsed = parseTimeOfDayRange(key);
      if (parsed === undefined)
        context.addIssue({ code: 'custom', path: [key], message: 'is neither a part of the day such as 22:00-06:00 nor default' });
      return parsed === undefined ? [] : [{ range: parsed, bytesPerSecond }];
    });
    return { always: rates['default'] ?? ('unlimited' as const), at };
  }),
);

const exportFields = {
  codec: choice(CODEC_NAMES).exactOptional().meta({ description: 'How dumps are compressed' }),
  level: whole(1, 99).exactOptional().meta({ description: 'Level of the codec' }),
  incremental: truth.exactOptional().meta({ description: 'Store only what earlier exports of the instance lack' }),
  'full-every': whole(1).exactOptional().meta({ description: 'A full export once this many follow each other' }),
  'track-changes': truth.exactOptional().meta({ description: 'Read only what changed, where the snapshot can say what' }),
  snapshot: choice(SNAPSHOT_MODES).exactOptional().meta({ description: 'How disks are snapshotted' }),
  'snapshot-config': nonEmptyLine.exactOptional().meta({ description: 'File with the commands of snapshot: command' }),
  'snapshot-size': written('a size such as 5G, or a share such as 20%', asUndefined(parseSnapshotSize))
    .exactOptional()
    .meta({ description: 'Space for each classic snapshot of LVM' }),
  'parallel-disks': whole(1, 256).exactOptional().meta({ description: 'How many disks of an instance at once' }),
  'with-private': truth.exactOptional().meta({ description: 'Include private OS parameters and secret native files' }),
  tags: list(tag, 'tags').exactOptional().meta({ description: 'Tags of each export' }),
};

function asUndefined<T>(parse: (value: string) => T): (value: string) => T | undefined {
  return (value) => {
    try {
      return parse(value);
    } catch {
      return undefined;
    }
  };
}

/** Messages have it: credentials come from the environment. */
function parseEndpoint(value: string): string | undefined {
  const url = URL.parse(value);
  const isUsable = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
  return isUsable ? value : undefined;
}

const store = group({
  url: nonEmptyLine.meta({ description: 'A directory, or a URL such as ssh://host/srv/exports or s3://bucket/prefix' }),
  'limit-rate': limitRate.exactOptional().meta({ description: 'Stored bytes a second, read and written' }),
  parallel: whole(1, 1000).exactOptional().meta({ description: 'How many exports a run writes into it at once' }),
  ...exportFields,
});

const keep = written('a whole number of 1 or more, or unlimited', parseKeepCount);
const retention = group({
  last: keep.exactOptional(),
  hourly: keep.exactOptional(),
  daily: keep.exactOptional(),
  weekly: keep.exactOptional(),
  monthly: keep.exactOptional(),
  yearly: keep.exactOptional(),
  within: written('a duration such as 14d or 1y6m', parseWithin).exactOptional(),
  tags: list(
    text('a tag, or several with commas between them').transform((value) => value.split(',')),
    'tags',
  ).exactOptional(),
}).refine((rules) => Object.keys(rules).length > 0, 'must keep something: last, daily, weekly, …');

const selection = group({
  source: nonEmptyLine.meta({ description: 'An inventory by name, ganeti:, libvirt:, a directory of instance files, or an instance file' }),
  names: oneOrMore(nonEmptyLine, 'names').exactOptional().meta({ description: 'Names of instances; * stands for any characters' }),
  tags: oneOrMore(tag, 'tags').exactOptional().meta({ description: 'An instance must have all of them' }),
  except: oneOrMore(nonEmptyLine, 'names').exactOptional().meta({ description: 'Names that are left out' }),
});

const policy = group({
  instances: oneOrMore(z.union([nonEmptyLine.transform((source) => ({ source })), selection]), 'instances').meta({
    description: 'Sources of instances, or groups with source, names, tags, except',
  }),
  stores: oneOrMore(nonEmptyLine, 'stores').meta({ description: 'Names of stores, or addresses' }),
  ...exportFields,
  retention: retention.exactOptional().meta({ description: 'What gantry run keeps of the exports in its stores' }),
  verify: group({
    depth: choice(['present', 'stored', 'frames']).exactOptional(),
    budget: written('a size such as 20GiB, or a share such as 5%', parseBudget).exactOptional(),
  })
    .exactOptional()
    .meta({ description: 'What gantry run verifies afterwards' }),
  copies: list(group({ to: nonEmptyLine, retention: retention.exactOptional() }), 'copies')
    .default([])
    .meta({ description: 'Other stores that get copies, with a retention of their own' }),
  'max-age': duration.exactOptional().meta({ description: 'An instance without a good export for longer is late' }),
  parallel: whole(1, 1000).default(1).meta({ description: 'How many instances at once' }),
  window: range.exactOptional().meta({ description: 'When exports may begin, by the clock of the host' }),
  'at-window-end': choice(['finish', 'stop'])
    .default('finish')
    .meta({ description: 'What happens to exports that run at the end of the window' }),
  'limit-rate': limitRate.exactOptional(),
  nice: whole(0, 19).exactOptional().meta({ description: 'As nice(1), for scripts and compression' }),
  io: choice(['best-effort', 'idle']).exactOptional().meta({ description: 'As ionice(1)' }),
  hooks: group({
    'before-snapshot': argv.exactOptional(),
    'after-snapshot': argv.exactOptional(),
    'on-success': argv.exactOptional(),
    'on-failure': argv.exactOptional(),
    timeout: duration.default(60_000),
  })
    .prefault({})
    .meta({ description: 'Programs that are started around each export' }),
});

const configuration = group({
  stores: named(store, 'stores by their names').default({}),
  inventories: named(nonEmptyLine, 'addresses by their names').default({}),
  policies: named(policy, 'policies by their names').default({}),
  defaults: group({ ...exportFields, 'limit-rate': limitRate.exactOptional() }).prefault({}),
  notify: group({
    on: choice(['failure', 'always']).default('failure'),
    mail: group({
      to: oneOrMore(nonEmptyLine, 'addresses'),
      from: nonEmptyLine.exactOptional(),
      sendmail: nonEmptyLine.default('/usr/sbin/sendmail'),
    }).exactOptional(),
    command: argv.exactOptional(),
  }).exactOptional(),
  metrics: group({
    textfile: nonEmptyLine.exactOptional().meta({ description: 'File for the textfile collector of node_exporter' }),
    otlp: written('an http or https URL without credentials', parseEndpoint)
      .exactOptional()
      .meta({ description: 'Collector of OpenTelemetry, such as http://localhost:4318' }),
  }).prefault({}),
});

/** gantry.yaml as it was written, with its values read. */
export type ConfigurationDocument = z.output<typeof configuration>;

/** Checks one document. */
export function checkConfiguration(value: unknown): z.ZodSafeParseResult<ConfigurationDocument> {
  // An empty file says nothing.
  return configuration.safeParse(value ?? {});
}

/** The fields that the group at a path may have. */
export function knownFields(path: readonly PropertyKey[]): readonly string[] {
  let at: unknown = z.toJSONSchema(configuration, { io: 'input', target: 'draft-7', unrepresentable: 'any' });
  for (const step of path) at = child(at, step);
  return fieldsOf(at);
}

function fieldsOf(schema: unknown): readonly string[] {
  if (!isGroup(schema)) return [];
  const { properties, anyOf } = schema;
  if (isGroup(properties)) return Object.keys(properties);
  return Array.isArray(anyOf) ? anyOf.flatMap((each) => fieldsOf(each)) : [];
}

function child(schema: unknown, step: PropertyKey): unknown {
  if (!isGroup(schema)) return undefined;
  const { properties, additionalProperties, items } = schema;
  if (typeof step === 'number') return items;
  return (isGroup(properties) ? properties[String(step)] : undefined) ?? additionalProperties;
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The JSON Schema of gantry.yaml (draft 7, which editors support). */
export function configurationJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(configuration, { io: 'input', target: 'draft-7', unrepresentable: 'any' });
  return { $schema, title: 'Gantry configuration', ...schema };
}
