import { z } from 'zod';

/** The line that a journal begins with: whose it is. */
export interface RunHeader {
  readonly runId: string;
  readonly operation: string;
  readonly instance: string;
  readonly pid: number;
  readonly startTime: number;
  readonly bootId: string;
  /** ISO 8601, UTC. */
  readonly started: string;
}

/**
 * What must be undone when the run that made it is dead: plain JSON, all that it takes, written to the journal before the thing is made.
 * Each kind has its `Undo`, which alone knows the rest.
 */
export type RunRecord = { readonly kind: string } & Readonly<Record<string, unknown>>;

export const runHeaderSchema: z.ZodType<RunHeader> = z.object({
  runId: z.string(),
  operation: z.string(),
  instance: z.string(),
  pid: z.int().positive(),
  startTime: z.int().nonnegative(),
  bootId: z.string(),
  started: z.iso.datetime(),
});

const runRecordSchema: z.ZodType<RunRecord> = z.looseObject({ kind: z.string() });

/** A line of a journal after the first. */
export type JournalLine = { readonly remember: number; readonly record: RunRecord } | { readonly forget: number };

export const journalLineSchema: z.ZodType<JournalLine> = z.union([
  z.strictObject({ remember: z.int(), record: runRecordSchema }),
  z.strictObject({ forget: z.int() }),
]);
