import { execa } from 'execa';
import { makeCgroup } from './cgroup.ts';
import type { Sample } from './statistics.ts';

const SAMPLE_MS = 25;
/** A command that takes longer hangs. */
const LIMIT_MS = 15 * 60_000;

/** A command that failed, with its last output. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
}

/**
 * Runs a line of bash and measures it with everything that it starts.
 *
 * @throws CommandFailed
 */
export async function measure(
  line: string,
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<Sample> {
  await using group = await makeCgroup();
  const enter = (group?.procs ?? []).map((file) => `echo $$ >${file}; `).join('');
  let peakBytes: number | undefined;
  const sample = async (): Promise<void> => {
    if (group !== undefined) peakBytes = Math.max(peakBytes ?? 0, await group.anonymousBytes());
  };
  const timer = setInterval(() => void sample().catch(() => undefined), SAMPLE_MS);
  try {
    const before = (await group?.cpuSeconds()) ?? 0;
    const start = performance.now();
    const { exitCode, stderr, timedOut } = await execa('bash', ['-c', `${enter}set -o pipefail; ${line}`], {
      ...options,
      reject: false,
      stdin: 'ignore',
      maxBuffer: 1024 * 1024,
      timeout: LIMIT_MS,
    });
    const wall = (performance.now() - start) / 1000;
    if (timedOut) throw new CommandFailed('it did not end in time');
    if (exitCode !== 0) throw new CommandFailed(`exit ${exitCode}: ${stderr.slice(-600)}`);
    const after = await group?.cpuSeconds();
    return { wall, cpu: after === undefined ? undefined : after - before, peakBytes };
  } finally {
    clearInterval(timer);
  }
}
