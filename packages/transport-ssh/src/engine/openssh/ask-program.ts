import type { Launch, LaunchOptions } from '../local-program.ts';
import { DRAIN_MS, closedWithin } from '../local-program.ts';
import { TextTail } from '../text-tail.ts';

/** More than any `ssh -G` prints. */
const MAX_ANSWER_CHARACTERS = 1024 * 1024;

/** The output of a program, and whether it timed out. */
export interface ProgramAnswer {
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/**
 * Runs a program of OpenSSH and returns its output, whether it succeeds or not; the output is empty if it cannot be started. A
 * configuration may run programs (`Match exec`) and so hang: it is ended after `timeoutMs`, and on abort. Never rejects.
 */
export async function askProgram(
  launch: Launch,
  file: 'ssh' | 'ssh-keygen',
  args: readonly string[],
  options: LaunchOptions & { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<ProgramAnswer> {
  const program = launch(file, args, options);
  program.stdin.end();
  const [stdout, stderr] = [new TextTail(MAX_ANSWER_CHARACTERS), new TextTail(MAX_ANSWER_CHARACTERS)];
  program.stdout.on('data', (chunk: Buffer) => stdout.add(chunk));
  program.stderr.on('data', (chunk: Buffer) => stderr.add(chunk));
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const stop = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  const onStop = (): void => void program.end();
  if (stop.aborted) onStop();
  stop.addEventListener('abort', onStop);
  await program.ended;
  await closedWithin(program.stdout, DRAIN_MS);
  stop.removeEventListener('abort', onStop);
  return { stdout: stdout.text, stderr: stderr.text, timedOut: timeout.aborted };
}
