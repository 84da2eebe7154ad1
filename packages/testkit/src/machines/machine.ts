import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { Duplex } from 'node:stream';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { undoAtExit } from '../disks/undo.ts';
import { OWN_MOUNTS } from '../processes/own-mounts.ts';
import { startDaemon } from '../servers/daemon.ts';
import { killOne, processTree } from '../servers/process-tree.ts';
import type { MachineEngine } from './engines.ts';
import { LINES, engineCommand, findVirtiofsd, mountShare } from './engines.ts';
import { machineImage } from './image.ts';
import type { MachineScript, ScriptOutcome } from './script-lines.ts';
import { ScriptLines } from './script-lines.ts';

export type { MachineEngine } from './engines.ts';
export type { MachineScript, ScriptOutcome } from './script-lines.ts';

export interface MachineOptions {
  /** `uml` by default. */
  readonly engine?: MachineEngine;
  /** Raw images, which are `/dev/machine/0` and so on in the machine, writable. */
  readonly disks?: readonly string[];
  /** Host directories that it sees under the same path, read-only. */
  readonly shares?: readonly string[];
  /** 768 by default. */
  readonly memoryMib?: number;
  /** The directory of its image; by default that of `machineImage`. */
  readonly image?: string;
}

/** A disposable machine with its own kernel; changes of its root file system are discarded. */
export interface Machine extends AsyncDisposable {
  /** Runs a script of /bin/sh as root. @throws if its exit status is not 0, or the machine ends */
  run(script: string): Promise<ScriptOutcome>;
  /** Starts a script; the previous one must have ended. */
  start(script: string): MachineScript;
  /** SIGKILL: data in the machine's memory is lost, data that it had flushed to its disks is kept. Resolves when all processes have ended. */
  cutPower(): Promise<void>;
}

/**
 * Makes a machine keep written data in memory for hours until it is flushed. (An interval of 0 stops the regular writeback too, but then
 * each file is written back once as soon as it changes.)
 */
export const HOLD_WRITES = `for name in dirty_writeback dirty_expire; do echo 3600000 >/proc/sys/vm/\${name}_centisecs; done
modprobe xfs && echo 720000 >/proc/sys/fs/xfs/xfssyncd_centisecs`;

const BOOT_LIMIT_MS = 400_000;
const MAX_CONSOLE_CHARACTERS = 16_384;

/** Starts a machine; its image is made first if it does not exist. It dies with this process. Needs root. */
export async function startMachine(options: MachineOptions = {}): Promise<Machine> {
  const { engine = 'uml', disks = [], shares = [], memoryMib = 768 } = options;
  await using scope = new AsyncDisposableStack();
  const image = options.image ?? (await machineImage());
  const scratch = scope.use(await makeTemporaryDirectory('gantry-machine-')).path;
  const sockets = engine === 'tcg' ? await serveShares(shares, scratch, scope) : new Map<string, string>();
  const machine = new RunningMachine(engineCommand(engine, { image, scratch, disks, shares: sockets, memoryMib }), scratch);
  scope.use(machine);
  await machine.start();
  for (const [index, directory] of shares.entries()) await machine.run(mountShare(engine, directory, index));
  const owned = scope.move();
  return {
    run: (script) => machine.run(script),
    start: (script) => machine.startScript(script),
    cutPower: () => machine.cutPower(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Starts a virtiofsd for each directory. @returns its socket by directory */
async function serveShares(
  directories: readonly string[],
  scratch: string,
  scope: AsyncDisposableStack,
): Promise<ReadonlyMap<string, string>> {
  const sockets = new Map<string, string>();
  for (const [index, directory] of directories.entries()) {
    const socket = join(scratch, `share${index}`);
    const args = [`--socket-path=${socket}`, '-o', `source=${directory}`, '-o', 'cache=auto'];
    const isReady = (): Promise<boolean> => Promise.resolve(existsSync(socket));
    scope.use(await startDaemon({ file: findVirtiofsd(), args, log: join(scratch, `share${index}.log`), isReady }));
    sockets.set(directory, socket);
  }
  return sockets;
}

class RunningMachine implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #lines: ScriptLines;
  readonly #closed = Promise.withResolvers<void>();
  readonly #forget: () => void;
  #console = '';
  /** The first process of the namespace, once the machine runs: killing it kills them all. */
  #engine: number | undefined;

  constructor(engine: readonly string[], scratch: string) {
    // Its processes are in their own namespace, and die with the first of them, which dies with this process.
    const alone = ['--pdeathsig', 'KILL', 'unshare', ...OWN_MOUNTS, '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
    this.#process = spawn('setpriv', [...alone, ...engine], {
      stdio: ['ignore', 'pipe', 'pipe', ...LINES.map(() => 'pipe' as const)],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', TMPDIR: scratch },
    });
    this.#forget = undoAtExit(() => this.#process.kill('SIGKILL'));
    const [scripts, stdout, stderr] = LINES.map((fd) => lineOf(this.#process, fd));
    if (scripts === undefined || stdout === undefined || stderr === undefined) throw new Error('a machine has three lines');
    this.#lines = new ScriptLines(scripts, stdout, stderr);
    for (const output of [this.#process.stdout, this.#process.stderr]) this.#keepConsole(output);
    this.#process.once('error', (error) => this.#lines.end(error));
    // When no process has our pipes open any more.
    this.#process.once('close', () => {
      this.#engine = undefined;
      this.#lines.end(new Error(`the machine has ended; its console:\n${this.#console}`));
      this.#closed.resolve();
    });
  }

  /** Resolves when the machine accepts scripts. */
  async start(): Promise<void> {
    const { promise, reject } = Promise.withResolvers<void>();
    const limit = setTimeout(() => reject(new Error(`the machine did not start; its console:\n${this.#console}`)), BOOT_LIMIT_MS);
    await Promise.race([this.#lines.ready, promise]).finally(() => clearTimeout(limit));
    [, this.#engine] = await processTree(this.#process.pid ?? -1);
  }

  async run(script: string): Promise<ScriptOutcome> {
    const outcome = await this.startScript(script).outcome;
    if (outcome.exitCode !== 0)
      throw new Error(`in the machine: status ${outcome.exitCode}\n${script}\n${outcome.stdout}${outcome.stderr}`);
    return outcome;
  }

  startScript(script: string): MachineScript {
    return this.#lines.start(script);
  }

  async cutPower(): Promise<void> {
    // Its parent collects it. If the parent is killed instead, the system's first process would have to, which may not work in a container.
    if (this.#engine === undefined) this.#process.kill('SIGKILL');
    else killOne(this.#engine);
    await this.#closed.promise;
    this.#forget();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cutPower();
  }

  #keepConsole(output: Readable | null): void {
    output?.setEncoding('utf8').on('data', (text: string) => {
      this.#console = (this.#console + text).slice(-MAX_CONSOLE_CHARACTERS);
    });
  }
}

/** A pipe from Node is a socket, so it works in both directions. */
function lineOf(child: ChildProcess, fd: number): Duplex | undefined {
  const line: unknown = child.stdio[fd];
  return line instanceof Duplex ? line : undefined;
}
