import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import process from 'node:process';
import { pause } from '@gantry/core';
import { identifyProcess, isRunning } from '@gantry/transport';
import type { LastLine } from './verdict.ts';
import { parseLastLine } from './verdict.ts';

/** A process, distinguished from all others that had or will have the same number. */
export type ProcessIdentity = NonNullable<Awaited<ReturnType<typeof identifyProcess>>>;

/** An export that runs, as a child of this agent or of one before it. */
export interface ExportProcess {
  readonly identity: ProcessIdentity;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
}

export interface StartOptions {
  /** The program and its arguments. */
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Files for its output, which must be missing: an earlier export that nothing knows of may still write to older ones. */
  readonly out: string;
  readonly err: string;
}

/** How often an export that is not a child of this process is looked at, ms. */
const LOOK_INTERVAL_MS = 500;
/** The last line, and enough before it. */
const MAX_READ_BYTES = 4 * 1024 * 1024;

/**
 * Starts an export in a session of its own, so that it outlives this agent: its output goes to files, from which the next agent reads how it
 * ended.
 *
 * @throws the error of the system if there is no such program
 */
export async function startExport({ command: [file = '', ...args], env, out, err }: StartOptions): Promise<ExportProcess> {
  await using output = await open(out, 'wx', 0o600);
  await using errors = await open(err, 'wx', 0o600);
  const child = spawn(file, args, { detached: true, stdio: ['ignore', output.fd, errors.fd], env: exportEnvironment(env) });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  await once(child, 'spawn');
  child.unref();
  const { pid = 0 } = child;
  const identity = (await identifyProcess(pid)) ?? { pid, startTime: 0, bootId: '' };
  return { identity, ended };
}

/**
 * What is for the database of the fleet, and for libpq, which may be its password: exports and their hooks get none of it. Nor consent to
 * overwrite disks, which is that of a job.
 */
const OF_THE_AGENT = /^(?:PG[A-Z]+|GANTRY_FLEET_.*|GANTRY_YES)$/;

function exportEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !OF_THE_AGENT.test(name)));
}

/**
 * The export whose standard output goes to a file: it leads a session, as {@link startExport} has it, which the programs that it starts do
 * not. The kernel resolves links on the way to a file, so it is compared by what it is.
 */
export async function findExport(out: string): Promise<ProcessIdentity | undefined> {
  const file = await stat(out, { bigint: true }).catch(() => undefined);
  if (file === undefined) return undefined;
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const output = `/proc/${name}/fd/1`;
    // Its name first: to look at those of others may take for ever, where a file server is away.
    if (basename(await readlink(output).catch(() => '')) !== basename(out)) continue;
    const other = await stat(output, { bigint: true }).catch(() => undefined);
    if (other?.dev !== file.dev || other.ino !== file.ino) continue;
    if ((await sessionOf(name)) === Number(name)) return await identifyProcess(Number(name));
  }
  return undefined;
}

/** The session of a process; the fourth field after the name of the program in proc_pid_stat(5). */
async function sessionOf(pid: string): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3]);
}

/** What a process has read until now, from disks, pipes and connections (proc_pid_io(5)); undefined if it has ended. */
export async function readBytesOf({ pid }: ProcessIdentity): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/io`, 'utf8').catch(() => '');
  const [, digits] = /^rchar: (\d+)$/m.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** An export that an earlier agent started. @param signal ends the wait, not the export */
export function adoptExport(identity: ProcessIdentity, signal: AbortSignal): ExportProcess {
  const wait = async (): Promise<void> => {
    // What cannot be looked at now counts as one that runs.
    while (await isRunning(identity).catch(() => true)) await pause(LOOK_INTERVAL_MS, signal);
  };
  return { identity, ended: wait() };
}

/** Asks an export to end, and to clean up. */
export async function endExport(identity: ProcessIdentity): Promise<void> {
  if (!(await isRunning(identity))) return;
  try {
    process.kill(identity.pid, 'SIGTERM');
  } catch (error) {
    // It ended just now.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** The end of a file, at most {@link MAX_READ_BYTES}; empty if there is none. */
export async function readEnd(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const length = Math.min(size, MAX_READ_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead).toString('utf8').trimEnd();
  } catch {
    return '';
  }
}

/** What the end of what an export printed says; undefined if it printed nothing. */
export async function readLastLine(path: string): Promise<LastLine | undefined> {
  const text = await readEnd(path);
  return text === '' ? undefined : parseLastLine(text.slice(text.lastIndexOf('\n') + 1));
}
