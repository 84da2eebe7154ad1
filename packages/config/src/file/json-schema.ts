import { z } from 'zod';
import { ONE_OR_MORE, RATES } from './values.ts';

type Json = Readonly<Record<string, unknown>>;

/** The JSON Schema of what is written, for editors (draft 7, which they support). */
export function jsonSchemaOf(schema: z.ZodType, title: string): Json {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any' });
  return { $schema, title, ...asWritten(rest) };
}

/** Adds the short forms: one item instead of a list, one rate instead of several. */
function asWritten(schema: Json): Json {
  const { [ONE_OR_MORE]: isShort, [RATES]: rangePattern, ...all } = mapValues(schema, (value) => deep(value));
  const { description, default: byDefault, ...own } = all;
  const notes = { ...(description === undefined ? {} : { description }), ...(byDefault === undefined ? {} : { default: byDefault }) };
  if (isShort === true) return { ...notes, anyOf: [own['items'], own] };
  if (typeof rangePattern !== 'string') return all;
  const { additionalProperties: rate } = own;
  return {
    ...notes,
    anyOf: [
      rate,
      { type: 'object', properties: { default: rate }, patternProperties: { [rangePattern]: rate }, additionalProperties: false },
    ],
  };
}

function deep(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => deep(item));
  return isGroup(value) ? asWritten(value) : value;
}

function mapValues(group: Json, change: (value: unknown) => unknown): Json {
  return Object.fromEntries(Object.entries(group).map(([key, value]) => [key, change(value)]));
}

/** The fields that the group at a path may have. */
export function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let at: unknown = z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any' });
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

function isGroup(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
