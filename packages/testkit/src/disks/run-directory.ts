import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

/**
 * A new directory for this process, `PREFIX-PID-…` under the system's temporary directory, mode 0700. The caller removes it; those that
 * killed processes have left are removed first.
 */
export async function makeRunDirectory(prefix: string): Promise<string> {
  const left = (await readdir(tmpdir())).filter((name) => {
    const [, pid] = name.startsWith(`${prefix}-`) ? (/^-(\d+)-\w{6}$/.exec(name.slice(prefix.length)) ?? []) : [];
    return pid !== undefined && !isRunning(Number(pid));
  });
  // Another run may remove the same ones at this moment.
  for (const name of left) await rm(join(tmpdir(), name), { recursive: true, force: true, maxRetries: 5 });
  return await mkdtemp(join(tmpdir(), `${prefix}-${process.pid}-`));
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs as another user.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}
