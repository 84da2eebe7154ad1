import { errnoName } from '../system/errno-name.ts';
import type { ProcessEnd } from '../system/gated-process.ts';
import { spawnGated } from '../system/gated-process.ts';
import { pause } from '../system/pause.ts';
import type { ProcessGroup } from '../system/process-group.ts';

/** As long as a client waits for its cluster. */
const START_TIMEOUT_MS = 60_000;
const START_PAUSE_MS = 20;
const KEPT_BYTES = 4096;

export interface ServerOptions {
  /** The program, found in /usr/sbin:/usr/bin:/sbin:/bin, and its arguments. */
  readonly argv: readonly [string, ...string[]];
  /** For the error that the program is not there: the Debian packages that have it. */
  readonly packages: string;
  /** Of the program, for errors: "which reads the image". */
  readonly task: string;
  readonly isReady: () => Promise<boolean>;
  /** Remembers the process. It starts when this has resolved. */
  readonly started: (group: ProcessGroup) => Promise<void>;
  readonly signal: AbortSignal;
}

/** A program that serves a snapshot until it is ended. */
export interface Server {
  readonly pid: number;
  /** How it ended, if it did: one clause. */
  readonly whyEnded: () => string | undefined;
}

/**
 * Starts a program of QEMU and waits until it serves. Ending its process group is the caller's.
 * @throws Error with its last lines; the signal's reason
 */
export async function startServer({ argv, packages, task, isReady, started, signal }: ServerOptions): Promise<Server> {
  const [program] = argv;
  const gated = await spawnGated(argv, {
    cwd: '/',
    environment: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let [end, stderr]: [ProcessEnd | undefined, Buffer] = [undefined, Buffer.alloc(0)];
  gated.child.stderr?.on('data', (bytes: Buffer) => (stderr = Buffer.concat([stderr, bytes]).subarray(-KEPT_BYTES)));
  void gated.end.then((how) => (end = how));
  const whyEnded = (): string | undefined =>
    end === undefined ? undefined : `${program}, ${task}, ${describeEnd(end, stderr.toString())}`;
  await started(gated.group);
  await gated.open().catch((error: unknown) => {
    if (errnoName(error) !== 'ENOENT') throw error;
    throw new Error(`${program} is not installed (${packages})`, { cause: error });
  });
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await isReady())) {
    const ended = whyEnded();
    if (ended !== undefined) throw new Error(ended);
    if (performance.now() > deadline) throw new Error(`${program} did not answer within ${START_TIMEOUT_MS / 1000} s`);
    await pause(START_PAUSE_MS, signal);
  }
  return { pid: gated.group.pgid, whyEnded };
}

function describeEnd(end: ProcessEnd, stderr: string): string {
  const words = stderr.trim().split('\n').slice(-3).join(' / ');
  const how = 'status' in end ? `ended with status ${end.status}` : `was killed by ${end.signal}`;
  return `${how}${words === '' ? '' : `: ${words}`}`;
}
