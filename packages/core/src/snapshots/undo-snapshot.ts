import { z } from 'zod';

import type { Undo } from '../runs/undo.ts';
import { freezeUndo } from './freeze.ts';
import type { SnapshotDropper, SnapshotRecord } from './provider.ts';

const recordSchema: z.ZodType<{ readonly record: SnapshotRecord }> = z.object({
  record: z.object({ provider: z.string(), index: z.int(), description: z.string(), data: z.record(z.string(), z.unknown()) }),
});

type Found = SnapshotDropper | undefined;

/** Drops snapshots. @param dropperNamed undefined for a kind that is not known */
export function snapshotUndo(dropperNamed: (name: string) => Found | Promise<Found>): Undo {
  return {
    kind: 'snapshot',
    describe: (record) => recordSchema.parse(record).record.description,
    async undo(record, run, signal) {
      const snapshot = recordSchema.parse(record).record;
      const { provider: name, description, data } = snapshot;
      // The first version of Gantry wrote it this way.
      if (name === freezeUndo.kind) return freezeUndo.undo({ kind: name, description, ...data }, run, signal);
      const provider = await dropperNamed(name);
      if (provider === undefined) throw new Error(`this version of Gantry does not know snapshots of the kind ${name}`);
      await provider.drop(snapshot, signal);
      return true;
    },
  };
}
