import { readFile } from 'node:fs/promises';

import { z } from 'zod';

import { Interruption } from '../system/interruption.ts';
import { endProcessGroup, runningMembers } from '../system/process-group.ts';
import { readProcess } from '@gantry/transport';

/**
 * A script that was started: its process group, distinguished from later ones of the same number by start time and boot. (A type, not an
 * interface, so that it is a `RunRecord`.)
 */
export type ScriptRecord = {
  readonly kind: 'script';
  /** At least 2: kill(2) gives 0, 1 and negative numbers another meaning. */
  readonly pgid: number;
  /** Start of the group's first process, in clock ticks since boot. */
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

/** The run that the script belonged to. */
interface ScriptOwner {
  readonly instance: string;
}

/** Ends a script of a dead run: an `Undo` (`runs/undo.ts`, which this floor must not import). */
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
  /** Ends the script by SIGTERM, then by SIGKILL. */
  async undo(record, { instance }, signal) {
    const group = recordSchema.parse(record);
    if ((await processesLeft(group, instance)).length === 0) return false;
    using interruption = new Interruption(signal);
    const still = await interruption.race(endProcessGroup(group));
    if (still.length > 0) throw new Error(`SIGKILL did not end it (processes ${still.join(', ')})`);
    return true;
  },
};

/**
 * The running processes of the script. Empty unless they certainly belong to it: after a reboot, or when its number was reused, they
 * belong to something else.
 */
async function processesLeft(record: ScriptRecord, instance: string): Promise<readonly number[]> {
  const members = runningMembers(record);
  if (members.length === 0 || (await readProcess(record.pgid)) !== undefined) return members;
  // The script itself has ended, but not all its children. While they run, the kernel does not reuse the script's number. But they may
  // have ended too, and these may be children of a later process of that number, which has ended as well: the environment shows which.
  const ours = await Promise.all(members.map((pid) => hasEnvironmentOfScript(pid, instance)));
  return ours.every(Boolean) ? members : [];
}

async function hasEnvironmentOfScript(pid: number, instance: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const variables = environment.split('\0');
  return variables.includes(`INSTANCE_NAME=${instance}`) && variables.some((variable) => variable.startsWith('OS_API_VERSION='));
}
