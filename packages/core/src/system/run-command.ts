import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';

import { z } from 'zod';

import { Interruption } from './interruption.ts';
import type { ProcessGroup } from './process-group.ts';
import { endProcessGroup, identifyGroup } from './process-group.ts';
import { pause } from './pause.ts';
import { errorText } from '../report/error-text.ts';

const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
/** Of each of stdout and stderr, the end. */
const KEPT_BYTES = 16 * 1024;
/** A daemon that the command started may keep its output open for ever: what came by then is all. */
const DRAIN_MS = 500;

/** A command as its arguments: the first is the program, with its path or found in /usr/sbin:/usr/bin:/sbin:/bin. No shell sees it. */
export type Argv = readonly [string, ...string[]];

export interface CommandOptions {
  readonly timeoutS: number;
  readonly signal: AbortSignal;
  /** Told at once which process group it is, and waited for before the command's end is told. */
  readonly started?: ((group: ProcessGroup) => Promise<void>) | undefined;
}

/**
 * Runs one of the user's commands to its end and gives what it wrote to stdout, the last 16 KiB. It has a process group of its own,
 * which is ended when the signal is aborted or the time is over, and no environment but PATH and LC_ALL.
 * @throws Error with the exit status and the command's last words; the signal's reason
 */
export async function runCommand([program, ...parameters]: Argv, options: CommandOptions): Promise<string> {
  const { signal, timeoutS } = options;
  signal.throwIfAborted();
  const child = spawn(program, parameters, { detached: true, cwd: '/', env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: keepEnd(child.stdout), stderr: keepEnd(child.stderr) };
  const ended = waitForEnd(child);
  const { pid } = child;
  if (pid === undefined) {
    await ended.catch((error: unknown) => {
      throw new Error(`${program} cannot be run: ${errorText(error)}`, { cause: error });
    });
    throw new Error(`${program} cannot be run`);
  }
  const group = identifyGroup(pid);
  const timeout = AbortSignal.timeout(timeoutS * 1000);
  using interruption = new Interruption(AbortSignal.any([signal, timeout]));
  try {
    const [how] = await interruption.race(Promise.all([ended, options.started?.(group)]));
    if (how === 0) return output.stdout();
    throw new Error(`${program} ${typeof how === 'number' ? `failed with status ${how}` : `was ended by ${how}`}${lastWords(output)}`);
  } catch (error) {
    // Nothing of it is left when this rejects, also not what a command that failed had started.
    await endProcessGroup(group);
    signal.throwIfAborted();
    if (timeout.aborted) throw new Error(`${program} did not end within ${timeoutS} s and was ended${lastWords(output)}`, { cause: error });
    throw error;
  } finally {
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** A process group as the journal keeps it. */
export const processGroupSchema: z.ZodType<ProcessGroup> = z.object({
  pgid: z.int().min(2),
  startTime: z.int().nonnegative(),
  bootId: z.string(),
});

/** Ends a command that a killed run had started, so that what it does is not done after it was undone. @throws Error where it stays */
export async function endCommandOfKilledRun(group: ProcessGroup): Promise<void> {
  const left = await endProcessGroup(group);
  if (left.length > 0) throw new Error(`a command that a killed run had started does not end (processes ${left.join(', ')})`);
}

/** The exit status, or the signal that ended it, when its output has come too. */
async function waitForEnd(child: ChildProcess): Promise<number | string> {
  const closed = once(child, 'close').catch(() => undefined);
  const [status, signalName]: unknown[] = await once(child, 'exit');
  await Promise.race([closed, pause(DRAIN_MS)]);
  return typeof status === 'number' ? status : String(signalName);
}

function keepEnd(stream: Readable): () => string {
  let kept: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    kept = Buffer.concat([kept, chunk]).subarray(-KEPT_BYTES);
  });
  return () => kept.toString().trimEnd();
}

function lastWords(output: { readonly stdout: () => string; readonly stderr: () => string }): string {
  const text = output.stderr() === '' ? output.stdout() : output.stderr();
  return text === '' ? ', without a word' : `: ${text.split('\n').slice(-5).join(' / ')}`;
}
