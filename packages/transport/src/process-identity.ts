import { readFile } from 'node:fs/promises';

/** A process, distinguished from all others that had or will have the same number (proc_pid_stat(5), proc_sys_kernel(5)). */
export interface ProcessIdentity {
  readonly pid: number;
  /** Its start time in clock ticks since boot. */
  readonly startTime: number;
  /** The boot of the machine in which it started. */
  readonly bootId: string;
}

/** The state of a process in /proc. */
export interface ProcessState {
  readonly pid: number;
  readonly startTime: number;
  /** It has ended, and only waits for its parent to collect its status. */
  readonly ended: boolean;
}

/** Identifies a running process; undefined if it does not run. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  const found = await readProcess(pid);
  return found === undefined ? undefined : { pid, startTime: found.startTime, bootId: await readBootId() };
}

/** Whether this process still runs, and not just another one of the same number. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  const found = await readProcess(identity.pid);
  return found !== undefined && !found.ended && found.startTime === identity.startTime && identity.bootId === (await readBootId());
}

/** Undefined for a process that does not exist (any more). */
export async function readProcess(pid: number): Promise<ProcessState | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, which may itself contain parentheses and spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  return { pid, startTime: Number(fields[19]), ended: state === 'Z' || state === 'X' };
}

let bootId: string | undefined;

/** The id of the machine's current boot. */
async function readBootId(): Promise<string> {
  bootId ??= (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return bootId;
}
