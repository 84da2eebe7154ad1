import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** A process and all of its current descendants, the process itself first. */
export async function processTree(pid: number): Promise<readonly number[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const text = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    // State and parent come after the command's name, which is in parentheses and may contain anything.
    const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
    parents.set(Number(name), parent);
  }
  const tree = [pid];
  for (const at of tree) for (const [child, parent] of parents) if (parent === at) tree.push(child);
  return tree;
}

/** Kills a process and its descendants with SIGKILL. */
export async function killTree(pid: number): Promise<void> {
  for (const each of await processTree(pid)) killOne(each);
}

/** Kills a process and its descendants with SIGKILL, and waits until all of them have ended; a zombie has. */
export async function endTree(pid: number): Promise<void> {
  const tree = await processTree(pid);
  for (const each of tree) killOne(each);
  for (const each of tree) while (await runs(each)) await delay(10);
}

async function runs(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text !== '' && !/^[ZX]/.test(text.slice(text.lastIndexOf(')') + 2));
}

/** Sends a signal to a process, unless it has ended. */
export function killOne(pid: number, signal: 'SIGKILL' | 'SIGSTOP' = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

/**
 * The processes that were started with this variable in their environment, under any parent, to find what a program left running. Zombies
 * that their new parent has not reaped yet do not count.
 */
export async function processesWithVariable(name: string, value: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    // A zombie has no environment.
    const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (variables.split('\0').includes(`${name}=${value}`)) found.push(Number(pid));
  }
  return found;
}
