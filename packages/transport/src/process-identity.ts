import { readFile } from 'node:fs/promises';

/** A process, told apart from all that had or will have the same number (proc_pid_stat(5), proc_sys_kernel(5)). */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot at which it started. */
  readonly startTime: number;
  /** Which boot of the machine that was. */
  readonly bootId: string;
}

/** What /proc says of a process at this moment. */
export interface ProcessState {
  readonly pid: number;
  readonly startTime: number;
  /** Dead, and only waiting for its parent to take notice. */
  readonly ended: boolean;
}

/** Of a process that runs now; undefined when it does not. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | undefined> {
  const found = await readProcess(pid);
  return found === undefined ? undefined : { pid, startTime: found.startTime, bootId: await readBootId() };
}

/** Whether this very process still runs, not just one of the same number. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  const found = await readProcess(identity.pid);
  return found !== undefined && !found.ended && found.startTime === identity.startTime && identity.bootId === (await readBootId());
}

/** Undefined for a process that is not there (any more). */
export async function readProcess(pid: number): Promise<ProcessState | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the program's name in brackets, which may itself hold brackets and spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  return { pid, startTime: Number(fields[19]), ended: state === 'Z' || state === 'X' };
}

let bootId: string | undefined;

/** Which boot of the machine this is. */
async function readBootId(): Promise<string> {
  bootId ??= (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return bootId;
}
