import { execFile } from 'node:child_process';

/** What the system's `ssh` says to these arguments, whether it succeeds or not; nothing where there is no `ssh`. Never rejects. */
export function askSsh(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile('ssh', args, { env }, (_error, stdout, stderr) => resolve({ stdout, stderr }));
    child.stdin?.on('error', () => undefined).end();
  });
}
