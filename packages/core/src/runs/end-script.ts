import { readFile } from 'node:fs/promises';
import { readProcess } from '@gantry/transport';

import { Interruption } from '../system/interruption.ts';
import { endProcessGroup, runningMembers } from '../system/process-group.ts';
import type { ScriptRecord } from './run-record.ts';

/**
 * The processes that a dead run's script still has. Empty unless they are certainly of that script: after a reboot, or when its number
 * was given out again, they are somebody else's.
 */
export async function leftOfScript(record: ScriptRecord, instance: string): Promise<readonly number[]> {
  const members = runningMembers(record);
  if (members.length === 0 || (await readProcess(record.pgid)) !== undefined) return members;
  // The script itself has ended, but not all that it started. While that runs, the kernel gives the script's number to nobody; but it
  // could have ended too, and these be children of a later process of that number, which has ended as well. The environment tells.
  const ours = await Promise.all(members.map((pid) => hasEnvironmentOfScript(pid, instance)));
  return ours.every(Boolean) ? members : [];
}

/**
 * Ends what is left of a script: first gently, then for good.
 * @returns whether there was anything
 * @throws Error with the reason when something of it still runs; the signal's reason
 */
export async function endScript(record: ScriptRecord, instance: string, signal: AbortSignal): Promise<boolean> {
  if ((await leftOfScript(record, instance)).length === 0) return false;
  using interruption = new Interruption(signal);
  const still = await interruption.race(endProcessGroup(record));
  if (still.length > 0) throw new Error(`it does not end, not even when killed (processes ${still.join(', ')})`);
  return true;
}

async function hasEnvironmentOfScript(pid: number, instance: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const variables = environment.split('\0');
  return variables.includes(`INSTANCE_NAME=${instance}`) && variables.some((variable) => variable.startsWith('OS_API_VERSION='));
}
