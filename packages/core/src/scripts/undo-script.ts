import { readFile } from 'node:fs/promises';

import { z } from 'zod';

import { Interruption } from '../system/interruption.ts';
import { endProcessGroup, runningMembers } from '../system/process-group.ts';
import { readProcess } from '@gantry/transport';

/**
 * A script that was started: its process group, told apart from later ones of the same number by start time and boot. (A type, not an
 * interface: so it is a `RunRecord`.)
 */
export type ScriptRecord = {
  readonly kind: 'script';
  /** 0, 1 and negative numbers would mean very different processes to kill(2). */
  readonly pgid: number;
  /** Of the group's first process: clock ticks since boot. */
  readonly startTime: number;
  readonly bootId: string;
  readonly script: string;
  readonly operation: string;
};

const recordSchema: z.ZodType<ScriptRecord> = z.object({
  kind: z.literal('script'),
  pgid: z.int().min(2),
  startTime: z.int().nonnegative(),
  bootId: z.string(),
  script: z.string(),
  operation: z.string(),
});

/** Whose script it was. */
interface ScriptOwner {
  readonly instance: string;
}

/** What recovery does about a script: an `Undo` of `runs/undo.ts`, which stands on a higher floor. */
export const scriptUndo: {
  readonly kind: 'script';
  describe(record: unknown): string;
  isThere(record: unknown, owner: ScriptOwner): Promise<boolean>;
  undo(record: unknown, owner: ScriptOwner, signal: AbortSignal): Promise<boolean>;
} = {
  kind: 'script',
  describe(record) {
    const { pgid, operation, script } = recordSchema.parse(record);
    return `the process group ${pgid} of the ${operation} script ${script}`;
  },
  async isThere(record, { instance }) {
    return (await processesLeft(recordSchema.parse(record), instance)).length > 0;
  },
  /** First gently, then for good. */
  async undo(record, { instance }, signal) {
    const group = recordSchema.parse(record);
    if ((await processesLeft(group, instance)).length === 0) return false;
    using interruption = new Interruption(signal);
    const still = await interruption.race(endProcessGroup(group));
    if (still.length > 0) throw new Error(`it does not end, not even when killed (processes ${still.join(', ')})`);
    return true;
  },
};

/**
 * The processes that the script still has. Empty unless they are certainly of that script: after a reboot, or when its number was given
 * out again, they are somebody else's.
 */
async function processesLeft(record: ScriptRecord, instance: string): Promise<readonly number[]> {
  const members = runningMembers(record);
  if (members.length === 0 || (await readProcess(record.pgid)) !== undefined) return members;
  // The script itself has ended, but not all that it started. While that runs, the kernel gives the script's number to nobody; but it
  // could have ended too, and these be children of a later process of that number, which has ended as well. The environment tells.
  const ours = await Promise.all(members.map((pid) => hasEnvironmentOfScript(pid, instance)));
  return ours.every(Boolean) ? members : [];
}

async function hasEnvironmentOfScript(pid: number, instance: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const variables = environment.split('\0');
  return variables.includes(`INSTANCE_NAME=${instance}`) && variables.some((variable) => variable.startsWith('OS_API_VERSION='));
}
