import process from 'node:process';

/** The Node of the packages that bring their own: `PREFIX/lib/gantry/node` (docs/decisions/0133-own-node.md). */
const OWN_NODE = /^(?<prefix>\/[\w./+-]*)\/lib\/gantry\/node$/;

/** Only such names are passed to a shell. */
const SSH_ADDRESS = /^ssh:\/\/[\w.@:%[\]-]+$/;

/**
 * The command that copies this Gantry to a peer, into its `/usr/local`.
 *
 * @param peer its address, such as `ssh://root@node2.example.com:2222`
 * @returns undefined for a Gantry that runs on a Node which is not its own: that may be missing there
 */
export function copyCommand(peer: string, node: string = process.execPath): string | undefined {
  const prefix = OWN_NODE.exec(node)?.groups?.['prefix'];
  if (prefix === undefined || !SSH_ADDRESS.test(peer)) return undefined;
  return `tar -C ${prefix} -c bin/gantry lib/gantry | ssh '${peer}' tar -C /usr/local -x`;
}
