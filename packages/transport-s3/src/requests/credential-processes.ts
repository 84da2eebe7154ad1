import { AsyncLocalStorage } from 'node:async_hooks';
import type { ChildProcess } from 'node:child_process';
import { ChildProcess as ChildProcessClass } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';

/** The processes that a call has started. */
const started = new AsyncLocalStorage<Set<ChildProcess>>();

/**
 * Runs `work`, and afterwards kills the processes that it started and left running. The SDK starts the
 * `credential_process` of a profile without a time limit, and this process could not end before it.
 */
export async function endProcessesOf<T>(work: () => Promise<T>): Promise<T> {
  const processes = new Set<ChildProcess>();
  const record = (message: unknown): void => {
    const child = typeof message === 'object' && message !== null && 'process' in message ? message.process : undefined;
    if (child instanceof ChildProcessClass) started.getStore()?.add(child);
  };
  subscribe('child_process', record);
  try {
    return await started.run(processes, work);
  } finally {
    unsubscribe('child_process', record);
    for (const child of processes) end(child);
  }
}

/** Kills a process with its descendants: it is a shell, whose children would keep its pipes open. */
function end(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  if (child.pid !== undefined) for (const pid of descendantsOf(child.pid)) kill(pid);
  child.kill('SIGKILL');
  child.stdin?.destroy();
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();
}

/** See `/proc/PID/task/TID/children` in proc(5). */
function descendantsOf(pid: number): readonly number[] {
  let children: readonly number[];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
  return children.concat(...children.map(descendantsOf));
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has already ended.
  }
}
