import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';

/** How a program on this machine ended. */
export interface ProgramEnd {
  /** Its exit status; undefined where a signal ended it, or where it never started. */
  readonly status: number | undefined;
  /** Why it could not be started. */
  readonly startError: NodeJS.ErrnoException | undefined;
}

export interface LaunchOptions {
  /** Absolute: the working directory. */
  readonly cwd: string;
  /** All of it. */
  readonly env: Readonly<Record<string, string>>;
}

/** Starts a program, which the caller then owns: it ends by itself or by {@link LocalProgram.end}. */
export type Launch = (file: string, args: readonly string[], options: LaunchOptions) => LocalProgram;

/** What of execa's subprocess is used here; streams are the pipes themselves. */
interface Subprocess extends PromiseLike<{ readonly cause?: unknown }> {
  readonly nodeChildProcess: {
    readonly pid?: number | undefined;
    once(event: 'exit', listener: (status: number | null) => void): unknown;
  };
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

/** How long a program and what it started may take to end after SIGTERM, and again after SIGKILL, ms. */
const GRACE_MS = 1000;
const LOOK_AGAIN_MS = 10;
/** How long what was written may take to arrive. Somebody outside of the group may hold the pipe for ever (`ControlPersist` of a jump host). */
export const DRAIN_MS = 500;

/** Loads what starts programs, for which not every call has a use. */
export async function loadLaunch(): Promise<Launch> {
  const { execa } = await import('execa');
  return (file, args, { cwd, env }) => {
    const subprocess = execa(file, args, {
      cwd,
      env,
      extendEnv: false,
      // setsid(2): a session and a group of its own. Ctrl-C on the terminal ends gantry, which still needs the connection to clean
      // up, and all that the program starts can be ended with it.
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
 * A program of this machine that leads a session and a process group of its own, and what it starts: an `ssh` and its ProxyCommand.
 * When it has ended, the rest of its group is ended too.
 */
export class LocalProgram {
  readonly stdin: Writable;
  /** Nothing is read before somebody reads. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** When nothing of its group runs any more, and its stderr was read. `stdout` may still hold what it wrote. Never rejects. */
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

  /** Ends its group: with SIGTERM, then with SIGKILL. Resolves when nothing of it runs, but for what even SIGKILL does not end. */
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
      await wait(LOOK_AGAIN_MS);
    }
    return true;
  }

  /** @returns whether there was somebody to send it to: the number belongs to the group as long as that has a member */
  #send(signal: NodeJS.Signals | 0): boolean {
    if (this.#group === undefined) return false;
    try {
      return process.kill(-this.#group, signal);
    } catch {
      return false;
    }
  }
}

/** Resolves when a stream that is read has given all, or when the time is over, if there is a limit. */
export async function closedWithin(stream: Readable, limitMs: number | undefined): Promise<void> {
  if (stream.closed) return;
  const closed = Promise.withResolvers<void>();
  const patience = limitMs === undefined ? undefined : setTimeout(closed.resolve, limitMs);
  stream.once('close', closed.resolve);
  await closed.promise;
  clearTimeout(patience);
}

/** execa lets what nobody reads by its second turn run off unread, unless somebody waits for `readable` by then. */
function keepUnread(stream: Readable): void {
  const waiting = (): void => undefined;
  stream.on('readable', waiting);
  setImmediate(() => stream.off('readable', waiting));
}

function errnoException(cause: unknown): NodeJS.ErrnoException {
  return cause instanceof Error ? cause : new Error(String(cause));
}
