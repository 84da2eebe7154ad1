import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

import { z } from 'zod';

import type { ProcessEnd } from './gated-process.ts';
import { spawnGated } from './gated-process.ts';
import { Interruption } from './interruption.ts';
import type { ProcessGroup } from './process-group.ts';
import { endProcessGroup } from './process-group.ts';
import { pause } from './pause.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';

const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
/** How much of the end of stdout and of stderr is kept by default. */
const DEFAULT_KEPT_BYTES = 16 * 1024;
/** A daemon that the command started may keep its output open for ever: nothing is read after this time. */
const DRAIN_MS = 500;

/** A command: the program (a path, or a name in /usr/sbin:/usr/bin:/sbin:/bin) and its arguments. It is run without a shell. */
export type Argv = readonly [string, ...string[]];

export interface CommandOptions {
  readonly timeoutS: number;
  readonly signal: AbortSignal;
  /** Remembers the process group. The command starts when this has resolved. */
  readonly started?: ((group: ProcessGroup) => Promise<void>) | undefined;
  /** How much of the end of its output is kept; default 16 KiB. */
  readonly keptBytes?: number | undefined;
  /** What it reads from stdin; nothing where absent. */
  readonly input?: Uint8Array | undefined;
  /** Open descriptors that are its 3, 4 and so on. */
  readonly descriptors?: readonly number[] | undefined;
  /** Its complete environment; default PATH and LC_ALL alone. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Time between SIGTERM and SIGKILL, ms; default 5000. */
  readonly graceMs?: number | undefined;
}

/**
 * Runs a command to its end and returns the end of what it wrote to stdout. The command has a process group of its
 * own, which is ended when the signal is aborted or the time is up.
 * @throws Error with the exit status and the command's last lines; the signal's reason
 */
export async function runCommand([program, ...parameters]: Argv, options: CommandOptions): Promise<string> {
  const { signal, timeoutS, input, descriptors = [] } = options;
  signal.throwIfAborted();
  const { child, group, end, open } = await spawnGated([program, ...parameters], {
    cwd: '/',
    environment: options.environment ?? ENVIRONMENT,
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...descriptors],
  }).catch(notRun(program));
  if (input !== undefined) giveInput(child.stdin, input);
  const kept = options.keptBytes ?? DEFAULT_KEPT_BYTES;
  const output = { stdout: keepEnd(child.stdout, kept), stderr: keepEnd(child.stderr, kept) };
  const ended = withOutput(child, end);
  const timeout = AbortSignal.timeout(timeoutS * 1000);
  using interruption = new Interruption(AbortSignal.any([signal, timeout]));
  try {
    await interruption.race(Promise.resolve(options.started?.(group)));
    await interruption.race(open().catch(notRun(program)));
    const how = await interruption.race(ended);
    if ('status' in how && how.status === 0) return output.stdout();
    throw new Error(
      `${program} ${'status' in how ? `failed with status ${how.status}` : `was killed by ${how.signal}`}${lastLines(output)}`,
    );
  } catch (error) {
    // Nothing of it is left when this rejects, not even what a failed command had started.
    await endProcessGroup(group, { graceMs: options.graceMs });
    signal.throwIfAborted();
    if (timeout.aborted)
      throw new Error(`${program} did not end within ${timeoutS} s and was killed${lastLines(output)}`, { cause: error });
    throw error;
  } finally {
    child.stdout?.destroy();
    child.stderr?.destroy();
  }
}

function notRun(program: string): (error: unknown) => never {
  return (error) => {
    throw error instanceof GantryError ? error : new Error(`cannot run ${program}: ${errorText(error)}`, { cause: error });
  };
}

/** A command that ends without reading all of it says why by its status. */
function giveInput(stdin: Writable | null, bytes: Uint8Array): void {
  stdin?.on('error', () => undefined);
  stdin?.end(bytes);
}

/** A process group in the journal. */
export const processGroupSchema: z.ZodType<ProcessGroup> = z.object({
  pgid: z.int().min(2),
  startTime: z.int().nonnegative(),
  bootId: z.string(),
});

/**
 * Ends a command of a killed run before its effect is undone.
 * @param graceMs time between SIGTERM and SIGKILL, default 5000
 * @throws Error where it does not end
 */
export async function endCommandOfKilledRun(group: ProcessGroup, graceMs?: number): Promise<void> {
  const left = await endProcessGroup(group, { graceMs });
  if (left.length > 0) throw new Error(`a command of the killed run cannot be ended (processes ${left.join(', ')})`);
}

/** How the command ended, after its output has been read. */
async function withOutput(child: ChildProcess, end: Promise<ProcessEnd>): Promise<ProcessEnd> {
  const closed = once(child, 'close').catch(() => undefined);
  const how = await end;
  await Promise.race([closed, pause(DRAIN_MS)]);
  return how;
}

function keepEnd(stream: Readable | null, bytes: number): () => string {
  let kept: Buffer = Buffer.alloc(0);
  stream?.on('data', (chunk: Buffer) => {
    kept = Buffer.concat([kept, chunk]).subarray(-bytes);
  });
  return () => kept.toString().trimEnd();
}

function lastLines(output: { readonly stdout: () => string; readonly stderr: () => string }): string {
  const text = output.stderr() === '' ? output.stdout() : output.stderr();
  const lines = text.split('\n').slice(-5);
  return text === '' ? ' and no output' : `: ${lines.map((line) => line.trim()).join(' / ')}`;
}
