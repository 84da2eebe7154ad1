import type { OsDefinition } from '@gantry/core';

/** An OS definition for programs: sets as lists. */
export function definitionAsJson(definition: OsDefinition): Record<string, unknown> {
  return { ...definition, operations: [...definition.operations].toSorted() };
}
