import { readFile, readdir } from 'node:fs/promises';

/** A process and all below it, as they are now, the process itself first. */
export async function processTree(pid: number): Promise<readonly number[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const text = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    // State and parent stand behind the command's name, which is in parentheses and may hold anything.
    const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
    parents.set(Number(name), parent);
  }
  const tree = [pid];
  for (const at of tree) for (const [child, parent] of parents) if (parent === at) tree.push(child);
  return tree;
}

/** Kills a process and all below it with SIGKILL. */
export async function killTree(pid: number): Promise<void> {
  for (const each of await processTree(pid)) killOne(each);
}

/** Sends a signal to a process; one that has ended by itself is no error. */
export function killOne(pid: number, signal: 'SIGKILL' | 'SIGSTOP' = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

/**
 * The processes that were started with this in their environment, whoever their parent is now: what a program leaves behind is
 * found by it. Zombies, which their new parent has not reaped yet, do not count.
 */
export async function processesWithVariable(name: string, value: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    // A zombie has no environment any more.
    const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (variables.split('\0').includes(`${name}=${value}`)) found.push(Number(pid));
  }
  return found;
}
