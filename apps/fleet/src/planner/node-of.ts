import { isSameHost } from '@gantry/core';

/** The node of a fleet that the name of a host means, or which ones it may mean: none, or several. */
type NodeFound = { readonly node: string } | { readonly node?: undefined; readonly fits: readonly string[] };

/**
 * Finds the node that a host is: the one of that very name, else the only one of which it is the short or the long name. Hosts of two domains
 * may have one short name, and disks are overwritten on the one that is found.
 *
 * @param nodes of the fleet, in small letters
 */
export function nodeOf(nodes: readonly string[], host: string): NodeFound {
  const name = host.toLowerCase();
  if (nodes.includes(name)) return { node: name };
  const fits = [...new Set(nodes)].filter((each) => isSameHost(each, name));
  const [only, other] = fits;
  return only !== undefined && other === undefined ? { node: only } : { fits };
}

/** Why there is no such node, in words that follow the name of the host. */
export function whyNoNode({ fits }: { readonly fits: readonly string[] }): string {
  return fits.length === 0 ? 'is not a node of the fleet' : `may be ${fits.join(' or ')}`;
}
