import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import process from 'node:process';
import type { PendingInfo } from '@gantry/transport';

/** Which process began a write, so that a later one can tell whether it still runs. */
export interface Owner {
  readonly host: string;
  readonly bootId: string;
  readonly pid: number;
  /** In clock ticks since the boot: tells a process from a later one with the same number (proc(5), `/proc/PID/stat`, field 22). */
  readonly startTime: string;
}

export async function thisProcess(): Promise<Owner> {
  return { host: hostname(), bootId: await readBootId(), pid: process.pid, startTime: (await readStartTime(process.pid)) ?? '' };
}

/**
 * Whether the process still runs, as far as this host can tell. Many hosts write to a peer, and some share a name: only one with
 * the same boot is surely this one.
 */
export async function lookAtOwner(owner: Owner): Promise<PendingInfo['owner']> {
  if (owner.host !== hostname() || owner.bootId !== (await readBootId())) return 'unknown';
  return (await readStartTime(owner.pid)) === owner.startTime ? 'alive' : 'dead';
}

async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

async function readStartTime(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in parentheses, may itself hold spaces and parentheses.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
