import { z } from 'zod';
import type { Undo } from '../runs/undo.ts';
import { LVM_GRACE_MS } from '../snapshots/lvm/commands.ts';
import type { ProcessGroup } from '../system/process-group.ts';
import { endCommandOfKilledRun, processGroupSchema } from '../system/run-command.ts';
import type { NewDisk } from './new-disk-names.ts';
import { dropUnfinishedName, giveName, hasItsName, isUnfinished, newDiskSchema, removeNamed, removeUnfinished } from './new-disk-names.ts';

const KIND = 'new-disks';

/** The new disks of an import, in the journal. */
export type NewDisksRecord = {
  readonly kind: typeof KIND;
  /**
   * `writing`: not all of them have their data. `complete`: all have, and they get their names. `taking back`: one of the names is not
   * free, so that all disks are removed, also those that have got theirs.
   */
  readonly step: 'writing' | 'complete' | 'taking back';
  readonly disks: readonly NewDisk[];
  /** A command of LVM that may still run. */
  readonly command?: ProcessGroup | undefined;
};

const recordSchema: z.ZodType<NewDisksRecord> = z.object({
  kind: z.literal(KIND),
  step: z.enum(['writing', 'complete', 'taking back']),
  disks: z.array(newDiskSchema),
  command: processGroupSchema.optional(),
});

/** Removes the new disks of an import that was killed; gives them their names if it was killed when all of them were complete. */
export const newDisksUndo: Undo = {
  kind: KIND,
  describe: (record) => {
    const { step, disks } = recordSchema.parse(record);
    const paths = disks.map(({ path }) => path).join(', ');
    return step === 'complete' ? `complete new disks without their names (${paths})` : `unfinished new disks (${paths})`;
  },
  isThere: async (record) => {
    const { step, disks } = recordSchema.parse(record);
    const { signal } = new AbortController();
    for (const disk of disks) {
      if (await isUnfinished(disk, signal)) return true;
      if (step === 'taking back' && (await hasItsName(disk, signal))) return true;
    }
    return false;
  },
  undo: async (record, _run, signal) => {
    const { step, disks, command } = recordSchema.parse(record);
    if (command !== undefined) await endCommandOfKilledRun(command, LVM_GRACE_MS);
    let wasThere = false;
    for (const disk of disks) {
      if (step !== 'complete') {
        const remove = step === 'writing' ? removeUnfinished : removeNamed;
        wasThere = (await remove(disk, signal)) || wasThere;
      } else if (await isUnfinished(disk, signal)) {
        await giveName(disk, { signal });
        await dropUnfinishedName(disk);
        wasThere = true;
      }
    }
    return wasThere;
  },
};
