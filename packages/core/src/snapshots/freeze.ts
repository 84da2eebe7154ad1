import { z } from 'zod';

import { GantryError } from '../report/errors.ts';
import { expandAll } from './command.ts';
import { errorText } from '../report/error-text.ts';
import type { Undo } from '../runs/undo.ts';
import type { HeldRecords } from './held-records.ts';
import type { SnapshotContext } from './provider.ts';
import { endCommandOfKilledRun, processGroupSchema, runCommand } from '../system/run-command.ts';
import type { SnapshotConfig } from './snapshot-config.ts';

/*
 * Freezes an instance while snapshots are taken, with the user's own commands, so that the snapshots of several disks show one moment.
 * A frozen instance does not work, so thawing it is written to the journal before it is frozen, like a snapshot that must be dropped.
 */

/** What the journal says about thawing. `freezing` is present while the command that freezes may run. */
const recordSchema = z.object({
  description: z.string(),
  thaw: z.tuple([z.string()], z.string()),
  /** Timeout of `thaw`, seconds. */
  timeout: z.number(),
  freezing: processGroupSchema.optional(),
});

export const freezeUndo: Undo = {
  kind: 'freeze',
  describe: (record) => recordSchema.parse(record).description,
  async undo(record, _run, signal) {
    const { thaw, timeout, freezing } = recordSchema.parse(record);
    // It could still freeze the instance after the thaw, and for ever.
    if (freezing !== undefined) await endCommandOfKilledRun(freezing);
    await runCommand(thaw, { timeoutS: timeout, signal });
    return true;
  },
};

/**
 * Freezes the instance as configured, and returns the key of the record for thawing it; undefined without such commands.
 * @throws GantryError SNAPSHOT_FAILED; the signal's reason. The record is kept in this case, too.
 */
export async function freeze(
  config: SnapshotConfig | undefined,
  { instanceName, runId, signal }: Pick<SnapshotContext, 'instanceName' | 'runId' | 'signal'>,
  held: HeldRecords,
): Promise<string | undefined> {
  const { freeze, thaw, timeouts } = config ?? {};
  if (freeze === undefined || thaw === undefined || timeouts === undefined) return undefined;
  const values = { instance: instanceName, run: runId };
  const undo = expandAll(thaw, values);
  const record = {
    kind: freezeUndo.kind,
    description: `instance ${instanceName} frozen, thawed by ${undo.join(' ')}`,
    thaw: undo,
    timeout: timeouts.thaw,
  };
  await held.remember(freezeUndo.kind, record);
  try {
    await runCommand(expandAll(freeze, values), {
      timeoutS: timeouts.freeze,
      signal,
      started: (freezing) => held.remember(freezeUndo.kind, { ...record, freezing }),
    });
    return freezeUndo.kind;
  } catch (error) {
    signal.throwIfAborted();
    throw new GantryError('SNAPSHOT_FAILED', {
      message: `cannot freeze instance ${instanceName} for its snapshots: ${errorText(error)}`,
      hint: 'Run the command freeze of the snapshot configuration by hand to see why it fails.',
      cause: error,
    });
  }
}
