import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { processTree } from '../servers/process-tree.ts';

/** What a command in a node gets instead of the test's environment. */
const ENVIRONMENT = [
  'env',
  '-i',
  'HOME=/root',
  'LC_ALL=C.UTF-8',
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
] as const;

export type CommandLine = readonly [file: string, ...args: readonly string[]];

/** A node of a cluster: a system of its own in namespaces of its own. */
export class GanetiNode {
  /** Such as `node1.example.com`. */
  readonly name: string;
  readonly #pid: number;

  /** @param pid its first process, as this process numbers it */
  constructor(name: string, pid: number) {
    this.name = name;
    this.#pid = pid;
  }

  /** What comes before a command to run it in the node. */
  get enter(): CommandLine {
    return ['nsenter', `--target=${this.#pid}`, '--mount', '--uts', '--net', '--ipc', '--pid', '--root', '--wd', ...ENVIRONMENT];
  }

  /** Where this process finds a file of the node; symbolic links on the way to it must be relative. */
  path(path: string): string {
    return join(`/proc/${this.#pid}/root`, path);
  }

  /** Runs a command as root. @returns its stdout without the last newline @throws with the command's stderr if it fails */
  async run(...line: CommandLine): Promise<string> {
    const [file, ...args] = [...this.enter, ...line];
    const { stdout } = await execa(file, args, { stdin: 'ignore' });
    return stdout;
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
