import { instanceJsonSchema } from '@gantry/core';
import type { Session } from '../session.ts';

export async function printSchema(session: Session): Promise<void> {
  const schema = instanceJsonSchema();
  session.output.result({ schema }, JSON.stringify(schema, null, 2));
}
