import { configurationJsonSchema } from '@gantry/config';
import { fromMarkdown } from './markdown.ts';
import type { Edition } from './pages.ts';
import { assemble, bold, escape, heading, italic, item, paragraph, references, title } from './roff.ts';

/** Stands for a name in a path of fields. */
const NAME = 'NAME';

/** gantry.yaml(5): what the page of the reference says, and the fields of the schema. */
export function configurationPage(reference: string, edition: Edition): string {
  const schema = configurationJsonSchema();
  return assemble([
    title('gantry.yaml', 5, edition),
    heading('NAME'),
    'gantry.yaml \\- configuration of gantry: stores, sources of instances, policies',
    heading('DESCRIPTION'),
    ...fromMarkdown(reference.replace(/^# .*\n/, '')),
    heading('FIELDS'),
    paragraph(escape('NAME is a name of yours. gantry schema config prints this as a JSON Schema, for editors.')),
    // What may be one or a list has the same fields in both forms.
    ...new Set(fieldsOf(schema, [])),
    heading('SEE ALSO'),
    references(['gantry(1)', 'gantry-schema(1)']),
  ]);
}

/** An item for a field, where it has a description, and for each field below it. */
function fieldsOf(schema: unknown, path: readonly string[]): readonly string[] {
  if (!isGroup(schema)) return [];
  const { properties, additionalProperties, items, anyOf, description } = schema;
  const inside = [
    ...Object.entries(isGroup(properties) ? properties : {}).flatMap(([name, field]) => fieldsOf(field, [...path, name])),
    ...fieldsOf(additionalProperties, [...path, NAME]),
    ...fieldsOf(items, path),
    ...(Array.isArray(anyOf) ? anyOf.flatMap((each) => fieldsOf(each, path)) : []),
  ];
  const text = typeof description === 'string' ? description : undefined;
  return text === undefined ? inside : [item(showPath(path), escape(text)), ...inside];
}

function showPath(path: readonly string[]): string {
  return path.map((part) => (part === NAME ? italic(part) : bold(part))).join('.');
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
