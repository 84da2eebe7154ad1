import { z } from 'zod';
import { RESULTS } from './result-schemas.ts';
import { count, loose, text } from './schema-parts.ts';

/*
 * What `--json` prints, as a JSON Schema: docs/reference/json-output.md in a form for programs. Fields may be added in later versions.
 */

const operation = { operation: text };

const EVENTS = {
  stage: loose({ ...operation, message: text }),
  plan: loose({
    ...operation,
    from: text,
    exported: text,
    into: text,
    disks: z.array(loose({ disk: count, target: text, holds: text }, { targetBytes: count, incomingBytes: count })),
  }),
  warning: loose({ message: text }, { ...operation, disk: count }),
  note: loose({ message: text }),
  round: loose({ ...operation, round: count, rounds: count, plainBytes: count, storedBytes: count, durationMs: z.number().nonnegative() }),
  message: loose({ ...operation, script: text, stream: z.enum(['stdout', 'stderr']), line: z.string() }, { disk: count }),
  disk: loose({ ...operation, disk: count, phase: z.enum(['waiting', 'running', 'done', 'failed']) }, { expectedBytes: count }),
  progress: loose({ ...operation, disk: count, plainBytes: count, storedBytes: count }, { expectedBytes: count }),
  error: loose({ code: text, message: text, exitCode: count }, { hint: text, disk: count, details: z.array(z.string()) }),
};

/** The names of the commands whose results the schema describes, as in `operation`. */
export const DESCRIBED_OPERATIONS: readonly string[] = Object.keys(RESULTS);

/** The JSON Schema (2020-12) of one line of `--json`. */
export function outputJsonSchema(): Record<string, unknown> {
  const events = Object.entries(EVENTS).map(([type, fields]) => conditional({ type: { const: type } }, fields));
  const results = Object.entries(RESULTS).map(([name, fields]) =>
    conditional({ type: { const: 'result' }, operation: { const: name } }, fields),
  );
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A line of gantry --json',
    type: 'object',
    properties: { type: { type: 'string' } },
    required: ['type'],
    allOf: [...events, ...results],
  };
}

/** Types and results that a reader does not know are not restricted: so a later version is still valid. */
function conditional(properties: Readonly<Record<string, unknown>>, then: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...schema } = z.toJSONSchema(then);
  // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON Schema
  return { if: { properties, required: Object.keys(properties) }, then: schema };
}
