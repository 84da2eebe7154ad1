import type { OsDefinition } from '@gantry/core';

/** An OS definition as JSON: sets become lists. */
export function definitionAsJson(definition: OsDefinition): Record<string, unknown> {
  return { ...definition, operations: [...definition.operations].toSorted() };
}
