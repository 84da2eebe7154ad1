import { configurationJsonSchema } from '@gantry/config';
import { GantryError, instanceJsonSchema } from '@gantry/core';
import { outputJsonSchema } from '../output/output-schema.ts';
import type { Session } from '../session.ts';

/** Runs `gantry schema`. */
export async function run(session: Session, [document = 'instance']: readonly [string | undefined]): Promise<void> {
  const schema = schemaOf(document);
  session.output.result({ operation: 'schema', schema }, JSON.stringify(schema, null, 2).split('\n'));
}

function schemaOf(document: string): Record<string, unknown> {
  if (document === 'instance') return instanceJsonSchema();
  if (document === 'config') return configurationJsonSchema();
  if (document === 'output') return outputJsonSchema();
  throw new GantryError('USAGE', {
    message: `there is no schema of ${JSON.stringify(document)}`,
    hint: 'Ask for instance (the default), config or output.',
  });
}
