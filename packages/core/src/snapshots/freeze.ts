import { z } from 'zod';

import { GantryError } from '../report/errors.ts';
import { expandAll } from './command.ts';
import { errorText } from '../report/error-text.ts';
import type { SnapshotContext, SnapshotProvider } from './provider.ts';
import type { SnapshotRecord } from '../runs/run-record.ts';
import { endCommandOfKilledRun, processGroupSchema, runCommand } from '../system/run-command.ts';
import type { SnapshotConfig } from './snapshot-config.ts';

/*
 * Freezing an instance while snapshots are taken, with commands of the user's own: what makes the snapshots of several disks one
 * moment. A frozen instance stands still, so that thawing it is in the journal before it is frozen, like a snapshot that must be
 * dropped.
 */

/** `freezing` is there while the command that freezes may run. */
const dataSchema = z.object({
  thaw: z.tuple([z.string()], z.string()),
  timeout: z.number(),
  freezing: processGroupSchema.optional(),
});

/** Knows of a record how to thaw; takes no snapshots. */
export function createFreezeProvider(): SnapshotProvider {
  return {
    name: 'freeze',
    async supports() {
      return { ok: false, reason: 'freezing makes no snapshot' };
    },
    async take() {
      return [];
    },
    async drop(record, signal) {
      const { thaw, timeout, freezing } = dataSchema.parse(record.data);
      // It could freeze the instance after it was thawed, and for ever.
      if (freezing !== undefined) await endCommandOfKilledRun(freezing);
      await runCommand(thaw, { timeoutS: timeout, signal });
    },
  };
}

/**
 * Freezes the instance as configured, and gives the record with which it is thawed; undefined without such commands.
 * @throws GantryError SNAPSHOT_FAILED; the signal's reason. The record is remembered then, too.
 */
export async function freeze(config: SnapshotConfig | undefined, context: SnapshotContext): Promise<SnapshotRecord | undefined> {
  const { freeze, thaw, timeouts } = config ?? {};
  if (freeze === undefined || thaw === undefined || timeouts === undefined) return undefined;
  const values = { instance: context.instanceName, run: context.runId };
  const undo = expandAll(thaw, values);
  const record: SnapshotRecord = {
    provider: 'freeze',
    index: -1,
    description: `instance ${context.instanceName} frozen, thawed by ${undo.join(' ')}`,
    data: { thaw: undo, timeout: timeouts.thaw },
  };
  await context.remember(record);
  try {
    await runCommand(expandAll(freeze, values), {
      timeoutS: timeouts.freeze,
      signal: context.signal,
      started: (freezing) => context.remember({ ...record, data: { ...record.data, freezing } }),
    });
    return record;
  } catch (error) {
    context.signal.throwIfAborted();
    throw new GantryError('SNAPSHOT_FAILED', {
      message: `cannot freeze instance ${context.instanceName} for its snapshots: ${errorText(error)}`,
      hint: 'Run the command freeze of the snapshot configuration by hand to see what it lacks.',
      cause: error,
    });
  }
}
