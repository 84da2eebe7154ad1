import { hostname } from 'node:os';
import type { Instance } from './model.ts';

/** Whether the disks of an instance are those of this host: its primary node is called like it, or like its short form. */
export function isOnThisHost({ primary_node }: Pick<Instance, 'primary_node'>, here: string = hostname()): boolean {
  const [node, host] = [primary_node.toLowerCase(), here.toLowerCase()];
  const isShort = !node.includes('.') || !host.includes('.');
  return node === host || (isShort && node.split('.')[0] === host.split('.')[0]);
}
