import { execa } from 'execa';

/** How long a program that tells others of a run may take, ms. */
const TIMEOUT_MS = 60_000;

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runs a program with a text on its standard input, with a small environment: none of Gantry's credentials.
 *
 * @throws Error that says how it failed, with the end of what it wrote to stderr
 */
export async function runWithInput([program = '', ...args]: readonly string[], input: string, signal: AbortSignal): Promise<void> {
  const { failed, exitCode, timedOut, stderr, shortMessage } = await execa(program, args, {
    input,
    extendEnv: false,
    env: { PATH, LC_ALL: 'C.UTF-8' },
    cwd: '/',
    reject: false,
    stdout: 'ignore',
    timeout: TIMEOUT_MS,
    cancelSignal: signal,
    maxBuffer: 64 * 1024,
  });
  if (!failed) return;
  signal.throwIfAborted();
  const last = stderr.trim().split('\n').at(-1) ?? '';
  const how = timedOut
    ? `did not end within ${TIMEOUT_MS / 1000} s`
    : exitCode === undefined
      ? shortMessage
      : `failed with status ${exitCode}`;
  throw new Error(`${program} ${how}${last === '' ? '' : `: ${last}`}`);
}
