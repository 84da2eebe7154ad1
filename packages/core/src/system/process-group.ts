import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

import { GantryError } from '../report/errors.ts';
import { SystemCallError, callLibc } from './libc.ts';
import { systemErrorCode } from './errno-name.ts';

/**
 * Identifies a script's processes, also for a later run. Plain JSON. The script leads a session and a process group of its own, both with
 * the number of its process; the number alone may belong to another process by now.
 */
export interface ProcessGroup {
  readonly pgid: number;
  /** When the leader started, in clock ticks since the machine's start (`/proc/PID/stat`, field 22). */
  readonly startTime: number;
  /** Which start of the machine that counts from (`/proc/sys/kernel/random/boot_id`). */
  readonly bootId: string;
}

/** Default time between SIGTERM and SIGKILL, ms. */
export const DEFAULT_GRACE_MS = 5000;

/** A killed process ends at once, unless it hangs in the kernel: for instance on a disk that does not answer. */
const KILL_WAIT_MS = 10_000;
const MAX_PAUSE_MS = 50;

/** @throws GantryError `PLATFORM` where the processes of a group could not be found again: /proc is not mounted */
export function assertProcessesVisible(): void {
  try {
    readBootId();
    if (readProcess(process.pid) !== undefined) return;
  } catch (error) {
    systemErrorCode(error);
  }
  throw new GantryError('PLATFORM', {
    message: 'cannot run scripts: /proc does not show their processes, so that they could not be ended',
    hint: 'Mount /proc: mount -t proc proc /proc.',
  });
}

/** Identifies the group led by the process `pid`, which must not have been reaped. */
export function identifyGroup(pid: number): ProcessGroup {
  return { pgid: pid, startTime: readProcess(pid)?.startTime ?? 0, bootId: readBootId() };
}

/**
 * The running processes of a group, whose leader may have ended long ago. Includes those that a script has put into other groups
 * (`timeout` and shells with job control do), as long as they are in its session. Empty after a reboot, or when the number belongs to
 * another group by now.
 */
export function runningMembers(group: ProcessGroup): readonly number[] {
  return members(group).map(({ pid }) => pid);
}

/**
 * Ends a group: SIGTERM, then SIGKILL after the grace time; waits until none of its processes runs.
 * @returns processes that SIGKILL did not end within ten seconds: they hang in the kernel
 */
export async function endProcessGroup(group: ProcessGroup, o: { readonly graceMs?: number | undefined } = {}): Promise<readonly number[]> {
  if (await ended(group, o.graceMs ?? DEFAULT_GRACE_MS, terminateOnce(members(group)))) return [];
  if (await ended(group, KILL_WAIT_MS, kill)) return [];
  return runningMembers(group);
}

/**
 * Sends SIGTERM to the groups of these processes, once to each. A process that moves into another group meanwhile gets it there;
 * processes that a script starts later, to clean up, do not get it.
 */
function terminateOnce(first: readonly Process[]): (now: readonly Process[]) => void {
  const signalled = new Set<number>();
  return (now) => {
    const others = now.filter(({ pid, pgid }) => !signalled.has(pgid) && first.some((process) => process.pid === pid));
    for (const pgid of groupsOf(others)) {
      signalled.add(pgid);
      send(pgid, 'SIGTERM');
    }
  };
}

/** Called repeatedly: the group may have grown meanwhile. */
function kill(now: readonly Process[]): void {
  for (const pgid of groupsOf(now)) send(pgid, 'SIGKILL');
}

/** Waits up to `limitMs` until no process of the group runs. */
export async function groupEnded(group: ProcessGroup, limitMs: number): Promise<boolean> {
  return ended(group, limitMs);
}

/** @param onLook gets the running processes each time they were looked up */
async function ended(group: ProcessGroup, limitMs: number, onLook?: (now: readonly Process[]) => void): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (let pause = 1; ; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
    const now = members(group);
    if (now.length === 0) return true;
    onLook?.(now);
    const restMs = deadline - performance.now();
    if (restMs <= 0) return false;
    await wait(Math.min(pause, restMs));
  }
}

function groupsOf(processes: readonly Process[]): ReadonlySet<number> {
  return new Set(processes.map(({ pgid }) => pgid));
}

function send(pgid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(-pgid, signal);
  } catch (error) {
    // ESRCH: it has just ended. EPERM: it belongs to another user now, and is reported as left over.
    systemErrorCode(error);
  }
}

interface Process {
  readonly pid: number;
  readonly state: string;
  readonly pgid: number;
  readonly session: number;
  readonly startTime: number;
}

function members(group: ProcessGroup): readonly Process[] {
  if (group.bootId !== readBootId()) return [];
  const leader = readProcess(group.pgid);
  // The kernel reuses the number only when no process has it as its group or session.
  if (leader !== undefined && leader.startTime !== group.startTime) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => mayBeIn(group.pgid, pid))
    .flatMap((pid) => readProcess(pid) ?? [])
    .filter(({ session, startTime, state }) => session === group.pgid && startTime >= group.startTime && !/[ZXx]/.test(state));
}

/** Uses getsid(2): reading /proc for every process takes a hundred times as long. */
function mayBeIn(session: number, pid: number): boolean {
  try {
    return callLibc('getsid', pid) === session;
  } catch (error) {
    return !(error instanceof SystemCallError && error.code === 'ESRCH');
  }
}

/** Undefined for a process that does not exist. The format is described in proc_pid_stat(5). */
function readProcess(pid: number): Process | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
  } catch (error) {
    systemErrorCode(error);
    return undefined;
  }
  // The second field is the program's name in parentheses, and may contain any character.
  const [state = '', , pgid, session, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid, state, pgid: Number(pgid), session: Number(session), startTime: Number(rest[15]) };
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}
