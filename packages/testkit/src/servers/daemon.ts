import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { undoAtExit } from '../disks/undo.ts';

export interface DaemonOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The file for its output; shown if it does not start. */
  readonly log: string;
  /** Whether it accepts requests; polled. */
  readonly isReady: () => Promise<boolean>;
}

/** A server of a test. */
export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  /** Sends SIGKILL, and waits until it has ended. */
  kill(): Promise<void>;
}

/** On a machine with ten times the load that it can handle. */
const START_MS = 180_000;
const STOP_MS = 3000;

/** Starts a program that stays in the foreground, and waits until it accepts requests. It dies with this process in every case. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { file, args, env = {}, log, isReady } = options;
  const output = openSync(log, 'a', 0o600);
  // setpriv makes the kernel kill it when this process is killed (PR_SET_PDEATHSIG, prctl(2)).
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', file, ...args], {
    stdio: ['ignore', output, output],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', ...env },
  });
  closeSync(output);
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  const forget = undoAtExit(() => child.kill('SIGKILL'));
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (isAlive(child)) child.kill(signal);
    await Promise.race([ended, delay(STOP_MS)]);
    if (isAlive(child)) child.kill('SIGKILL');
    await ended;
    forget();
  };
  try {
    await waitUntilReady(child, isReady);
  } catch (error) {
    await kill('SIGKILL');
    throw new Error(`${file} did not start: ${(await readFile(log, 'utf8')).slice(-2000)}`, { cause: error });
  }
  return {
    pid: child.pid ?? -1,
    kill: () => kill('SIGKILL'),
    [Symbol.asyncDispose]: () => kill('SIGTERM'),
  };
}

async function waitUntilReady(child: ChildProcess, isReady: () => Promise<boolean>): Promise<void> {
  const start = performance.now();
  while (!(await isReady())) {
    if (!isAlive(child)) throw new Error('it ended');
    if (performance.now() - start > START_MS) throw new Error(`it did not accept requests within ${START_MS} ms`);
    await delay(25);
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
