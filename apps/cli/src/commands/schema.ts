import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { newCommand, runs } from './common.ts';

export function addSchemaCommand(program: Command, surroundings: Surroundings): void {
  const command = newCommand(program, 'schema', 'Print the JSON Schema of instance files, for editors.', [
    'gantry schema > instance.schema.json',
  ]);
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/schema.ts')).printSchema);
}
