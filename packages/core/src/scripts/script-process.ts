import { setTimeout as wait } from 'node:timers/promises';

import { GantryError } from '../report/errors.ts';
import type { Environment } from './environment.ts';
import { ExpectedSize } from './expected-size.ts';
import { MessageLog } from './message-log.ts';
import { Interruption } from '../system/interruption.ts';
import { PipeReader } from '../system/pipe-reader.ts';
import { PipeWriter } from '../system/pipe-writer.ts';
import type { Pipe } from '../system/pipes.ts';
import { closeEnds, duplicate, openPipe, PIPE_BYTES } from '../system/pipes.ts';
import type { GatedProcess, ProcessEnd } from '../system/gated-process.ts';
import { spawnGated } from '../system/gated-process.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import { assertProcessesVisible, endProcessGroup, groupEnded, runningMembers } from '../system/process-group.ts';
import { createRedactor } from '../report/redact.ts';
import type { ScriptIdentity } from './script-errors.ts';
import { describeScript, exitError, startError } from './script-errors.ts';
import type { ScriptOptions } from './script-options.ts';
import { errorText } from '../report/error-text.ts';

/** Enough for a few lines at a time. */
const MESSAGE_BUFFER_BYTES = 16 * 1024;
/** Processes that a script leaves behind often end a moment after it: `exec 2> >(tee log >&2)`, for example. */
const LEFT_BEHIND_MS = 500;
/** How long to wait for a script to start when the operation is cancelled: it may have started without our knowing yet. */
const START_MS = 500;
/** Files that scripts create are accessible only to their user, as under Ganeti. */
const SCRIPT_UMASK = 0o077;
/** How long to wait for the last messages when all processes of the script have ended, but something else keeps its stderr open. */
const LAST_MESSAGES_MS = 1000;

/** A script to be run. */
export interface ScriptRequest extends ScriptIdentity {
  /** Absolute path of the working directory. */
  readonly directory: string;
  readonly arguments: readonly string[];
  /** The complete environment. */
  readonly environment: Environment;
  /** Values that must never be shown, even if the script writes them. */
  readonly secrets: readonly string[];
  /** `import` reads data; the stdin of all other scripts is empty. */
  readonly reads: 'data' | 'nothing';
  /** `export` writes data to stdout; all other scripts write messages to it. */
  readonly writes: 'data' | 'messages';
}

/** A script that runs, or has run. Must be disposed, which ends all its processes. */
export class ScriptProcess implements AsyncDisposable {
  /** How the script itself ended; its children may still run. Never rejects. */
  readonly exit: Promise<ProcessEnd>;
  /** Its stdin, for `reads: 'data'`. */
  readonly stdin: PipeWriter | undefined;
  /** Its data, for `writes: 'data'`. */
  readonly stdout: PipeReader;
  readonly expectedSize: ExpectedSize = new ExpectedSize();
  readonly #request: ScriptRequest;
  readonly #options: ScriptOptions;
  readonly #group: ProcessGroup;
  readonly #log: MessageLog;
  readonly #readers: readonly PipeReader[];
  readonly #messagesEnded: Promise<unknown>;
  #exited: ProcessEnd | undefined;
  #closing: Promise<void> | undefined;

  private constructor(request: ScriptRequest, options: ScriptOptions, pipes: Pipes, gated: GatedProcess) {
    this.#request = request;
    this.#options = options;
    this.#group = gated.group;
    this.#log = new MessageLog(createRedactor(request.secrets), options.onMessage);
    this.exit = gated.end.then((how) => (this.#exited = how));
    this.stdin = pipes.stdin === undefined ? undefined : new PipeWriter(pipes.stdin.writeEnd, pipes.stdin.probe);
    this.stdout = new PipeReader(pipes.stdout.readEnd, request.writes === 'data' ? PIPE_BYTES : MESSAGE_BUFFER_BYTES);
    const stderr = new PipeReader(pipes.stderr.readEnd, MESSAGE_BUFFER_BYTES);
    const size = pipes.size === undefined ? undefined : new PipeReader(pipes.size.readEnd, MESSAGE_BUFFER_BYTES);
    this.#readers = [this.stdout, stderr, ...(size === undefined ? [] : [size])];
    this.#messagesEnded = Promise.allSettled([
      this.#log.follow('stderr', stderr),
      ...(request.writes === 'messages' ? [this.#log.follow('stdout', this.stdout)] : []),
    ]);
    if (size !== undefined) void followSize(size, this.expectedSize);
  }

  /**
   * Starts a script in its own session. Its process is created first, and waits until `onStart` has remembered it.
   * @throws GantryError `SCRIPT_START`, `PLATFORM`; what `onStart` throws; the reason of the signal
   */
  static async start(request: ScriptRequest, options: ScriptOptions): Promise<ScriptProcess> {
    options.signal?.throwIfAborted();
    assertProcessesVisible();
    await options.beforeStart?.();
    options.signal?.throwIfAborted();
    const pipes = openPipes(request);
    let gated: GatedProcess;
    try {
      gated = await spawn(request, pipes);
    } catch (error) {
      closeEnds(...ourEnds(pipes));
      throw error instanceof GantryError ? error : await startError(request, error);
    }
    const script = new ScriptProcess(request, options, pipes, gated);
    try {
      await options.onStart?.(script.#group);
      options.signal?.throwIfAborted();
      const opening = gated.open().catch(async (error: unknown) => {
        throw await startError(request, error);
      });
      await startOrAbort(opening, options.signal);
      return script;
    } catch (error) {
      await script[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** How the script itself ended; undefined while it runs. */
  get exited(): ProcessEnd | undefined {
    return this.#exited;
  }

  /** Its last lines so far. */
  get messages(): readonly string[] {
    return this.#log.last;
  }

  /**
   * Ends all processes of the script, reads its last messages and closes its pipes. To be awaited before {@link failure}.
   * @throws what `onEnd` throws
   */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /**
   * The error for the way in which the script ended; undefined for success. To be called after {@link close}.
   *
   * @param onStdout lines for the user on stdout, where its data belongs
   */
  failure(onStdout: readonly string[] = []): GantryError | undefined {
    return this.#exited === undefined ? undefined : exitError(this.#request, this.#exited, { messages: this.messages, onStdout });
  }

  /** Closes. A failure is only reported as a warning, because another error is being thrown already. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.close();
    } catch (error) {
      this.#options.onWarning?.(`after ${describeScript(this.#request)}: ${errorText(error)}`);
    }
  }

  async #close(): Promise<void> {
    const survivors = await this.#endGroup();
    if (survivors.length === 0) await this.exit;
    await within(this.#messagesEnded, LAST_MESSAGES_MS);
    this.stdin?.close();
    for (const reader of this.#readers) reader.destroy();
    await this.#messagesEnded;
    if (survivors.length === 0) await this.#options.onEnd?.(this.#group);
  }

  async #endGroup(): Promise<readonly number[]> {
    const { onWarning, graceMs } = this.#options;
    const name = describeScript(this.#request);
    if (this.#exited !== undefined) {
      if (await groupEnded(this.#group, LEFT_BEHIND_MS)) return [];
      onWarning?.(`${name} left processes behind, which are being ended (${runningMembers(this.#group).join(', ')})`);
    }
    const survivors = await endProcessGroup(this.#group, { graceMs });
    if (survivors.length > 0) onWarning?.(`processes of ${name} cannot be ended and may still use its disk: ${survivors.join(', ')}`);
    return survivors;
  }
}

interface Pipes {
  /** `probe`: a duplicate of the writing end. */
  readonly stdin: (Pipe & { readonly probe: number }) | undefined;
  readonly stdout: Pipe;
  readonly stderr: Pipe;
  /** `EXP_SIZE_FD`, for scripts that read or write data. */
  readonly size: Pipe | undefined;
}

/** Opens all pipes or none. */
function openPipes(request: ScriptRequest): Pipes {
  const opened: number[] = [];
  const next = (bytes?: number): Pipe => {
    const pipe = openPipe(bytes);
    opened.push(pipe.readEnd, pipe.writeEnd);
    return pipe;
  };
  const nextWithProbe = (): Pipes['stdin'] => {
    const pipe = next(PIPE_BYTES);
    const probe = duplicate(pipe.writeEnd);
    opened.push(probe);
    return { ...pipe, probe };
  };
  try {
    return {
      stdin: request.reads === 'data' ? nextWithProbe() : undefined,
      stdout: next(request.writes === 'data' ? PIPE_BYTES : undefined),
      stderr: next(),
      size: request.writes === 'data' || request.reads === 'data' ? next() : undefined,
    };
  } catch (error) {
    closeEnds(...opened);
    throw error;
  }
}

function ourEnds({ stdin, stdout, stderr, size }: Pipes): number[] {
  return [stdin?.writeEnd, stdin?.probe, stdout.readEnd, stderr.readEnd, size?.readEnd].filter((fd) => fd !== undefined);
}

/** Creates the script's process. The script's ends of the pipes are closed here in any case. */
async function spawn(request: ScriptRequest, { stdin, stdout, stderr, size }: Pipes): Promise<GatedProcess> {
  const inherited = [stdin?.readEnd, stdout.writeEnd, stderr.writeEnd, size?.writeEnd];
  const stdio = [stdin?.readEnd ?? 'ignore', stdout.writeEnd, stderr.writeEnd, ...(size === undefined ? [] : [size.writeEnd])] as const;
  const { directory: cwd, environment } = request;
  try {
    return await spawnGated([request.path, ...request.arguments], { cwd, environment, stdio, umask: SCRIPT_UMASK });
  } finally {
    closeEnds(...inherited.filter((fd) => fd !== undefined));
  }
}

/**
 * Waits until the script has started, but only a moment longer once the signal is aborted: its file may be on a server that does not
 * answer. A script that has started by then is ended like any other, and its messages are kept.
 */
async function startOrAbort(opening: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  using interruption = new Interruption(signal);
  try {
    await interruption.race(opening);
  } catch (error) {
    if (signal?.aborted !== true || error !== signal.reason) throw error;
    const hasStarted = opening.then(() => true);
    if (!(await Promise.race([hasStarted, wait(START_MS, false, { ref: false })]))) throw error;
  }
}

/** Reads to the end, so that a script may write any amount there. */
async function followSize(reader: PipeReader, size: ExpectedSize): Promise<void> {
  try {
    for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) size.write(chunk);
  } catch {
    // Only the progress display needs it.
  }
  size.end();
}

async function within(work: Promise<unknown>, limitMs: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([work, wait(limitMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
  timer.abort();
}
