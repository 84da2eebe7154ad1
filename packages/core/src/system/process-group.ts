import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

import { GantryError } from '../report/errors.ts';
import { SystemCallError, callLibc } from './libc.ts';
import { systemErrorCode } from './errno-name.ts';

/**
 * What it takes to find a script's processes again, from another run too. Plain JSON. The script leads a session and a process group
 * of its own, both numbered as its own process; the number alone could belong to somebody else by now.
 */
export interface ProcessGroup {
  readonly pgid: number;
  /** When the leader started, in clock ticks since the machine's start (`/proc/PID/stat`, field 22). */
  readonly startTime: number;
  /** Which start of the machine that counts from (`/proc/sys/kernel/random/boot_id`). */
  readonly bootId: string;
}

/** How long a group that was told to end has to do so, milliseconds, where nothing else is said. */
export const DEFAULT_GRACE_MS = 5000;

/** A killed process ends at once, unless it hangs in the kernel: a disk that does not answer, say. */
const KILL_WAIT_MS = 10_000;
const LONGEST_PAUSE_MS = 50;

/** @throws GantryError `PLATFORM` where the processes of a group could not be found again */
export function assertProcessesShow(): void {
  try {
    readBootId();
    if (readProcess(process.pid) !== undefined) return;
  } catch (error) {
    systemErrorCode(error);
  }
  throw new GantryError('PLATFORM', {
    message: 'scripts cannot be run here: their processes could not be found again, as /proc does not show them',
    hint: 'Mount /proc: mount -t proc proc /proc.',
  });
}

/** Remembers the process `pid`, which leads a group, and which must not have been reaped. */
export function identifyGroup(pid: number): ProcessGroup {
  return { pgid: pid, startTime: readProcess(pid)?.startTime ?? 0, bootId: readBootId() };
}

/**
 * The processes of a group that still run; its leader may have ended long ago. Also those that a script has put into groups of their
 * own (`timeout` and shells with job control do), as long as they have not left its session. Empty after a restart of the machine,
 * or when the number belongs to another group now.
 */
export function runningMembers(group: ProcessGroup): readonly number[] {
  return members(group).map(({ pid }) => pid);
}

/**
 * Ends a group: SIGTERM, then, when the grace time is over, SIGKILL, and waits until nothing of it runs any more.
 * @returns the processes that even SIGKILL did not end in ten seconds: they hang in the kernel
 */
export async function endProcessGroup(group: ProcessGroup, o: { readonly graceMs?: number | undefined } = {}): Promise<readonly number[]> {
  if (await ended(group, o.graceMs ?? DEFAULT_GRACE_MS, tellOnce(members(group)))) return [];
  if (await ended(group, KILL_WAIT_MS, kill)) return [];
  return runningMembers(group);
}

/**
 * Tells the groups of these processes to end, once. Whoever has gone into a group of its own between the look and the signal is told
 * in that one; what a script starts only now, to clean up, is not told.
 */
function tellOnce(first: readonly Process[]): (now: readonly Process[]) => void {
  const told = new Set<number>();
  return (now) => {
    const untold = now.filter(({ pid, pgid }) => !told.has(pgid) && first.some((process) => process.pid === pid));
    for (const pgid of groupsOf(untold)) {
      told.add(pgid);
      send(pgid, 'SIGTERM');
    }
  };
}

/** At each look again: between two of them the group may have grown. */
function kill(now: readonly Process[]): void {
  for (const pgid of groupsOf(now)) send(pgid, 'SIGKILL');
}

/** Waits, for so many milliseconds at most, until nothing of the group runs. */
export async function groupEnded(group: ProcessGroup, limitMs: number): Promise<boolean> {
  return ended(group, limitMs);
}

/** @param onLook is given what still runs, each time it was looked for */
async function ended(group: ProcessGroup, limitMs: number, onLook?: (now: readonly Process[]) => void): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (let pause = 1; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
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
    // ESRCH: it has just ended. EPERM: it is another user's now, and is reported as left over.
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
  // The kernel gives the number out again only when no process has it as its group or session.
  if (leader !== undefined && leader.startTime !== group.startTime) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => mayBeIn(group.pgid, pid))
    .flatMap((pid) => readProcess(pid) ?? [])
    .filter(({ session, startTime, state }) => session === group.pgid && startTime >= group.startTime && !/[ZXx]/.test(state));
}

/** Asks by getsid(2): to read what /proc says of every process takes a hundred times as long. */
function mayBeIn(session: number, pid: number): boolean {
  try {
    return callLibc('getsid', pid) === session;
  } catch (error) {
    return !(error instanceof SystemCallError && error.code === 'ESRCH');
  }
}

/** Undefined for a process that is not there (any more). The layout is that of proc_pid_stat(5). */
function readProcess(pid: number): Process | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
  } catch (error) {
    systemErrorCode(error);
    return undefined;
  }
  // The second field is the program's name in parentheses, and may hold any character.
  const [state = '', , pgid, session, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid, state, pgid: Number(pgid), session: Number(session), startTime: Number(rest[15]) };
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}
