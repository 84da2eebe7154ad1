import type { CallOptions } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import type { Cluster } from './clusters/cluster.ts';
import { parseNames, parseSummaries } from './describe/answers.ts';

/** Of host names and UUIDs: anything else names no instance, and goes into no request. */
const POSSIBLE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Finds the full name of the instance that a user calls by it, by its first part or parts (`web1` for `web1.example.com`), or by its UUID.
 *
 * @throws InventoryError `not-found`, `ambiguous`
 */
export async function findInstanceName(cluster: Cluster, name: string, options: CallOptions): Promise<string> {
  options.signal?.throwIfAborted();
  if (!POSSIBLE_NAME.test(name)) throw notFound(name);
  const names = parseNames(await cluster.names(options), cluster.label).filter((each) => POSSIBLE_NAME.test(each));
  if (names.includes(name)) return name;
  const matching = UUID.test(name) ? await withUuid(cluster, name, options) : names.filter((each) => each.startsWith(`${name}.`));
  const [first, ...more] = matching;
  if (first === undefined) throw notFound(name);
  if (more.length === 0) return first;
  throw new InventoryError('ambiguous', { message: `${matching.length} instances are called ${name}`, details: matching.toSorted() });
}

async function withUuid(cluster: Cluster, uuid: string, options: CallOptions): Promise<readonly string[]> {
  const summaries = parseSummaries(await cluster.summaries(options), cluster.label);
  return summaries.filter((each) => each.uuid?.toLowerCase() === uuid.toLowerCase()).map(({ name }) => name);
}

function notFound(name: string): InventoryError {
  const shown = JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
  return new InventoryError('not-found', { message: `the cluster has no instance ${shown}` });
}
