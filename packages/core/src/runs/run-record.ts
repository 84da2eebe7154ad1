import { z } from 'zod';

/** The first line of a journal: the run that it belongs to. */
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
 * Describes a thing that must be undone when its run is dead: plain JSON with everything that undoing needs, written to the journal
 * before the thing is made. Only the `Undo` of its kind knows the other fields.
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
