import process from 'node:process';
import { execa } from 'execa';
import { z } from 'zod';

/** systemd answers at once, or not at all. */
const TIMEOUT_MS = 5000;

/** `next` is in µs since 1970; 0 or null for a timer that waits for nothing. */
const timers = z.array(z.object({ unit: z.string(), next: z.number().nullish() }));

const TIMER = /^gantry-run@(?<policy>.+)\.timer$/;

/** When systemd's timers `gantry-run@POLICY.timer` start each policy next: those of the system for root, else the user's own. */
export async function readNextRuns(signal: AbortSignal): Promise<ReadonlyMap<string, Date>> {
  const scope = process.geteuid?.() === 0 ? [] : ['--user'];
  const args = [...scope, 'list-timers', '--all', '--output=json', 'gantry-run@*.timer'];
  const { stdout, failed } = await execa('systemctl', args, { reject: false, timeout: TIMEOUT_MS, cancelSignal: signal, stdin: 'ignore' });
  signal.throwIfAborted();
  return failed ? new Map() : parseTimers(stdout);
}

/** @param text what `systemctl list-timers --output=json` prints; what is not that says nothing */
export function parseTimers(text: string): ReadonlyMap<string, Date> {
  const found = timers.safeParse(parseJson(text)).data ?? [];
  return new Map(
    found.flatMap(({ unit, next }): [string, Date][] => {
      const policy = TIMER.exec(unit)?.groups?.['policy'];
      // In systemd, the largest number means never.
      const at = new Date((next ?? 0) / 1000);
      return policy === undefined || Number.isNaN(at.getTime()) || at.getTime() === 0 ? [] : [[policy, at]];
    }),
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
