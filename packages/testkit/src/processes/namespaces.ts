import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { undoAtExit } from '../disks/undo.ts';
import { killOne, processTree } from '../servers/process-tree.ts';
import { OWN_MOUNTS } from './own-mounts.ts';

const START_MS = 300_000;

export interface NamespacesOptions {
  /** For messages, such as `the cluster`. */
  readonly what: string;
  /** Options of unshare(1) for other namespaces than those of mounts and processes, which it always has. */
  readonly alone?: readonly string[];
  /** The first process in them: it prints `ready` as its first line, and stays. */
  readonly line: readonly string[];
  /** The file that takes its stderr. */
  readonly log: string;
}

/**
 * Namespaces of mounts and processes: the process that made them, which kills the first process in them when it ends, and so all of them.
 * Needs root.
 */
export class Namespaces implements AsyncDisposable {
  readonly #what: string;
  readonly #process: ChildProcess;
  readonly #log: string;
  readonly #closed: Promise<unknown>;
  readonly #forget: () => void;

  constructor({ what, alone = [], line, log }: NamespacesOptions) {
    this.#what = what;
    this.#log = log;
    const output = openSync(log, 'a', 0o600);
    const unshare = ['--pdeathsig', 'KILL', 'unshare', ...OWN_MOUNTS, ...alone, '--pid', '--fork', '--kill-child=KILL'];
    this.#process = spawn('setpriv', [...unshare, ...line], {
      stdio: ['ignore', 'pipe', output],
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
    });
    closeSync(output);
    this.#forget = undoAtExit(() => this.#process.kill('SIGKILL'));
    this.#closed = once(this.#process, 'close');
  }

  /** Resolves when it says so. */
  async ready(): Promise<void> {
    const { stdout } = this.#process;
    if (stdout === null) throw new Error(`${this.#what} has no stdout`);
    const said = once(createInterface(stdout), 'line', { signal: AbortSignal.timeout(START_MS) }).then(([line]) => line === 'ready');
    const isReady = await Promise.race([said, this.#closed.then(() => false)]).catch(() => false);
    if (!isReady) throw new Error(`${this.#what} did not start: ${await readFile(this.#log, 'utf8')}`);
  }

  /** As this process numbers it. */
  async firstProcess(): Promise<number> {
    const [, first] = await processTree(this.#process.pid ?? -1);
    if (first === undefined) throw new Error(`${this.#what} has ended`);
    return first;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const [, first] = await processTree(this.#process.pid ?? -1);
    // Its parent collects it, as in the machines.
    if (first === undefined) this.#process.kill('SIGKILL');
    else killOne(first);
    await this.#closed;
    this.#forget();
  }
}
