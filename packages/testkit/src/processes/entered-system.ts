import { join } from 'node:path';
import { execa } from 'execa';

/** What a command in a system gets instead of the test's environment. */
const ENVIRONMENT = [
  'env',
  '-i',
  'HOME=/root',
  'LC_ALL=C.UTF-8',
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
] as const;

export type CommandLine = readonly [file: string, ...args: readonly string[]];

/** How a command ended. */
export interface CommandOutcome {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A system in namespaces of its own, into which commands enter. */
export class EnteredSystem {
  readonly #pid: number;

  /** @param pid its first process, as this process numbers it */
  constructor(pid: number) {
    this.#pid = pid;
  }

  /** What comes before a command to run it in the system. */
  get enter(): CommandLine {
    return ['nsenter', `--target=${this.#pid}`, '--mount', '--uts', '--net', '--ipc', '--pid', '--root', '--wd', ...ENVIRONMENT];
  }

  /** Where this process finds a file of the system; symbolic links on the way to it must be relative. */
  path(path: string): string {
    return join(`/proc/${this.#pid}/root`, path);
  }

  /** Runs a command as root. @returns its stdout without the last newline @throws with the command's stderr if it fails */
  async run(...line: CommandLine): Promise<string> {
    const [file, ...args] = [...this.enter, ...line];
    const { stdout } = await execa(file, args, { stdin: 'ignore' });
    return stdout;
  }

  /** The same for a command that may fail. */
  async attempt(...line: CommandLine): Promise<CommandOutcome> {
    const [file, ...args] = [...this.enter, ...line];
    const { exitCode, stdout, stderr } = await execa(file, args, { stdin: 'ignore', reject: false });
    return { exitCode, stdout, stderr };
  }
}
