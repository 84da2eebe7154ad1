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
 * What it takes to drop a snapshot without anything else: plain JSON, written to the journal before the snapshot is made, so
 * that the next run can drop what a killed one left.
 */
export interface SnapshotRecord {
  readonly provider: string;
  /** The disk's; -1 for what concerns all of them. */
  readonly index: number;
  /** For a human: what it is and where, such as `/srv/disks/.web1-0.img.gantry-….snap`. */
  readonly description: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A script that was started: its process group, told apart from later ones of the same number by start time and boot. */
export interface ScriptRecord {
  readonly kind: 'script';
  readonly pgid: number;
  /** Of the group's first process: clock ticks since boot. */
  readonly startTime: number;
  readonly bootId: string;
  readonly script: string;
  readonly operation: string;
}

/** Something unfinished in a store. */
export interface PendingRecord {
  readonly kind: 'pending';
  /** Without any secret, as a user may give it. */
  readonly storeAddress: string;
  readonly token?: string | undefined;
  readonly exportId?: string | undefined;
}

/** What must be ended, dropped or named when the run that made it is dead. */
export type RunRecord = { readonly kind: 'snapshot'; readonly record: SnapshotRecord } | ScriptRecord | PendingRecord;

export const runHeaderSchema: z.ZodType<RunHeader> = z.object({
  runId: z.string(),
  operation: z.string(),
  instance: z.string(),
  pid: z.int().positive(),
  startTime: z.int().nonnegative(),
  bootId: z.string(),
  started: z.iso.datetime(),
});

const runRecordSchema: z.ZodType<RunRecord> = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('snapshot'),
    record: z.object({ provider: z.string(), index: z.int(), description: z.string(), data: z.record(z.string(), z.unknown()) }),
  }),
  z.object({
    kind: z.literal('script'),
    // 0, 1 and negative numbers would mean very different processes to kill(2).
    pgid: z.int().min(2),
    startTime: z.int().nonnegative(),
    bootId: z.string(),
    script: z.string(),
    operation: z.string(),
  }),
  z.object({ kind: z.literal('pending'), storeAddress: z.string(), token: z.string().optional(), exportId: z.string().optional() }),
]);

/** A line of a journal after the first. */
export type JournalLine = { readonly remember: number; readonly record: RunRecord } | { readonly forget: number };

export const journalLineSchema: z.ZodType<JournalLine> = z.union([
  z.strictObject({ remember: z.int(), record: runRecordSchema }),
  z.strictObject({ forget: z.int() }),
]);
