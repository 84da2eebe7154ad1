import { readFile } from 'node:fs/promises';
import { EnteredSystem } from '../processes/entered-system.ts';
import { processTree } from '../servers/process-tree.ts';

/** A node of a cluster: a system of its own in namespaces of its own. */
export class GanetiNode extends EnteredSystem {
  /** Such as `node1.example.com`. */
  readonly name: string;

  /** @param pid its first process, as this process numbers it */
  constructor(name: string, pid: number) {
    super(pid);
    this.name = name;
  }
}

/** The nodes below the first process of a cluster, in order: the first processes of the namespaces inside. */
export async function findNodes(lab: number): Promise<readonly GanetiNode[]> {
  const nodes: GanetiNode[] = [];
  for (const pid of await processTree(lab)) {
    if ((await namespaceDepth(pid)) !== (await namespaceDepth(lab)) + 1 || !(await isFirst(pid))) continue;
    nodes.push(new GanetiNode((await readFile(`/proc/${pid}/root/etc/hostname`, 'utf8')).trim(), pid));
  }
  return nodes.toSorted((a, b) => a.name.localeCompare(b.name));
}

async function namespaceDepth(pid: number): Promise<number> {
  return (await namespacePids(pid)).length;
}

async function isFirst(pid: number): Promise<boolean> {
  return (await namespacePids(pid)).at(-1) === '1';
}

/** Its numbers in the namespaces that it is in, from ours inwards (proc_pid_status(5), `NSpid`). */
async function namespacePids(pid: number): Promise<readonly string[]> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return /^NSpid:\t(.*)$/m.exec(status)?.[1]?.split('\t') ?? [];
}
