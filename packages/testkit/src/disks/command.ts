import { spawnSync } from 'node:child_process';

import { execa } from 'execa';

/** Runs a command. @returns its stdout without the last newline @throws with the command's stderr if it fails */
export async function command(file: string, ...args: readonly string[]): Promise<string> {
  // In English, and with the directories of mount and mkfs in PATH.
  const env = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`, LC_ALL: 'C' };
  const { stdout } = await execa(file, args, { env, stdin: 'ignore' });
  return stdout;
}

/** Runs a command synchronously, for process exit. Never throws. */
export function commandAtExit(file: string, ...args: readonly string[]): void {
  spawnSync(file, args, { stdio: 'ignore', env: { PATH: '/usr/sbin:/sbin:/usr/bin:/bin' } });
}
