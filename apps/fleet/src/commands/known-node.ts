import { GantryError } from '@gantry/core';
import { nodeOf, whyNoNode } from '../planner/node-of.ts';

/**
 * The node of the fleet that a user means.
 *
 * @param more names that are taken too, such as those of what is paused
 * @throws GantryError `USAGE` if there is no such node, or several
 */
export function knownNode(name: string, nodes: readonly string[], more: readonly string[] = []): string {
  const found = nodeOf([...nodes, ...more], name);
  if (found.node !== undefined) return found.node;
  throw new GantryError('USAGE', { message: `${name} ${whyNoNode(found)}`, hint: `Its nodes: ${listOf(nodes)}.` });
}

/** Names for a hint. */
export function listOf(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ');
}
