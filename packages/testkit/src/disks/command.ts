import { spawnSync } from 'node:child_process';

import { execa } from 'execa';

/** Runs a command to its end and gives its stdout without the last newline. @throws with the command's stderr when it fails */
export async function command(file: string, ...args: readonly string[]): Promise<string> {
  // In English, and found where mount and mkfs live, whatever the caller's PATH says.
  const env = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`, LC_ALL: 'C' };
  const { stdout } = await execa(file, args, { env, stdin: 'ignore' });
  return stdout;
}

/** The last chance: for process exit, where nothing can be waited for. Never throws. */
export function commandAtExit(file: string, ...args: readonly string[]): void {
  spawnSync(file, args, { stdio: 'ignore', env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' } });
}
