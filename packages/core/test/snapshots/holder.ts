import { execFile } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The program of a {@link Holder}, to be run with `--conditions=@gantry/source`. */
export const HOLD_SNAPSHOTS: string = fileURLToPath(import.meta.resolve('./hold-snapshots.ts'));

export interface Holding {
  /** The state directory. */
  readonly state: string;
  readonly mode: string;
  /** A snapshot configuration. */
  readonly config?: object | undefined;
  /** Paths or URIs. */
  readonly disks: readonly string[];
  /** More environment variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Command that runs it, such as one that enters namespaces. */
  readonly through?: readonly string[];
}

/** A process of its own that takes snapshots, and keeps them until it ends. */
export interface Holder {
  /** The first line that it says: where its snapshots are. */
  readonly said: Promise<string>;
  /** Its exit status and signal. */
  readonly ended: Promise<readonly unknown[]>;
  kill(): Promise<void>;
  /** Ends it in the normal way. */
  end(): Promise<readonly unknown[]>;
}

export function holdSnapshots({ state, mode, config, disks, env = {}, through = [] }: Holding): Holder {
  const parameters = [state, mode, config === undefined ? '' : JSON.stringify(config), ...disks];
  const [program = '', ...words] = [...through, process.execPath, '--conditions=@gantry/source', HOLD_SNAPSHOTS, ...parameters];
  const child = execFile(program, words, { env: { ...process.env, ...env } });
  const ended = once(child, 'exit');
  const { stdout, stdin } = child;
  if (stdout === null) throw new Error('no output');
  const said = once(createInterface(stdout), 'line').then(([line]) => String(line));
  said.catch(() => undefined);
  return {
    said,
    ended,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async end() {
      stdin?.end();
      return await ended;
    },
  };
}
