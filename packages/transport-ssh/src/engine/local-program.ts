import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';

/** The end of a program on this machine. */
export interface ProgramEnd {
  /** Its exit status; undefined if a signal ended it or it never started. */
  readonly status: number | undefined;
  /** The error if it could not be started. */
  readonly startError: NodeJS.ErrnoException | undefined;
}

export interface LaunchOptions {
  /** Absolute: the working directory. */
  readonly cwd: string;
  /** The complete environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** Starts a program, which the caller then owns: it must end by itself or by {@link LocalProgram.end}. */
export type Launch = (file: string, args: readonly string[], options: LaunchOptions) => LocalProgram;

/** The parts of execa's subprocess that are used here; the streams are the pipes themselves. */
interface Subprocess extends PromiseLike<{ readonly cause?: unknown }> {
  readonly nodeChildProcess: {
    readonly pid?: number | undefined;
    once(event: 'exit', listener: (status: number | null) => void): unknown;
  };
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

/** How long a program and its children may take to end after SIGTERM, and again after SIGKILL, ms. */
const GRACE_MS = 1000;
const POLL_INTERVAL_MS = 10;
/** How long output may take to arrive, ms. A process outside the group may hold the pipe open forever (`ControlPersist` of a jump host). */
export const DRAIN_MS = 500;

/** Loads the code that starts programs, which not every call needs. */
export async function loadLaunch(): Promise<Launch> {
  const { execa } = await import('execa');
  return (file, args, { cwd, env }) => {
    const subprocess = execa(file, args, {
      cwd,
      env,
      extendEnv: false,
      // setsid(2): its own session and group. After Ctrl-C on the terminal, gantry still needs the connection to clean up, and the
      // children of the program can be ended together with it.
      detached: true,
      stdin: 'pipe',
      buffer: false,
      encoding: 'buffer',
      reject: false,
    });
    return new LocalProgram(subprocess);
  };
}

/**
 * A program on this machine with its own session and process group, which includes its children: an `ssh` and its ProxyCommand. When it
 * has ended, the rest of its group is ended too.
 */
export class LocalProgram {
  readonly stdin: Writable;
  /** Not read before a consumer reads it. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Resolves when its group has ended and its stderr has been read. `stdout` may still have unread output. Never rejects. */
  readonly ended: Promise<ProgramEnd>;
  readonly #group: number | undefined;
  #ending: Promise<void> | undefined;

  constructor(subprocess: Subprocess) {
    const { nodeChildProcess: child, stdin, stdout, stderr } = subprocess;
    this.stdin = stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    this.#group = child.pid;
    for (const stream of [stdin, stdout, stderr]) stream.on('error', () => undefined);
    keepUnread(stdout);
    const exited = new Promise<ProgramEnd>((resolve) => {
      child.once('exit', (status) => resolve({ status: status ?? undefined, startError: undefined }));
      if (child.pid === undefined) void subprocess.then(({ cause }) => resolve({ status: undefined, startError: errnoException(cause) }));
    });
    this.ended = exited.then(async (end) => {
      await this.end();
      await closedWithin(stderr, DRAIN_MS);
      stderr.destroy();
      return end;
    });
  }

  /** Ends its group: with SIGTERM, then with SIGKILL. Resolves when it has ended, or does not end even after SIGKILL. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      if (!this.#send(signal) || (await this.#isGone())) return;
    }
  }

  async #isGone(): Promise<boolean> {
    const deadline = performance.now() + GRACE_MS;
    while (this.#send(0)) {
      if (performance.now() > deadline) return false;
      await wait(POLL_INTERVAL_MS);
    }
    return true;
  }

  /** @returns whether the group exists: its number is not reused while it has a member */
  #send(signal: NodeJS.Signals | 0): boolean {
    if (this.#group === undefined) return false;
    try {
      return process.kill(-this.#group, signal);
    } catch {
      return false;
    }
  }
}

/** Resolves when a stream that is being read has closed, or after the time limit, if there is one. */
export async function closedWithin(stream: Readable, limitMs: number | undefined): Promise<void> {
  if (stream.closed) return;
  const closed = Promise.withResolvers<void>();
  const patience = limitMs === undefined ? undefined : setTimeout(closed.resolve, limitMs);
  stream.once('close', closed.resolve);
  await closed.promise;
  clearTimeout(patience);
}

/** execa discards output that is not read by the second turn of the event loop, unless there is a listener for `readable` by then. */
function keepUnread(stream: Readable): void {
  const waiting = (): void => undefined;
  stream.on('readable', waiting);
  setImmediate(() => stream.off('readable', waiting));
}

function errnoException(cause: unknown): NodeJS.ErrnoException {
  return cause instanceof Error ? cause : new Error(String(cause));
}
