import { instanceJsonSchema } from '@gantry/core';
import type { Session } from '../session.ts';

/** Runs `gantry schema`. */
export async function run(session: Session): Promise<void> {
  const schema = instanceJsonSchema();
  session.output.result({ operation: 'schema', schema }, JSON.stringify(schema, null, 2).split('\n'));
}
