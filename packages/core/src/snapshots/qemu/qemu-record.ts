import { z } from 'zod';

import type { MarksKept } from '../mark-fate.ts';
import { MARKS_KEPT } from '../mark-fate.ts';
import type { SnapshotRecord } from '../provider.ts';
import type { FreezeRecord } from './agent-freeze.ts';
import { freezeRecordSchema } from './agent-freeze.ts';
import type { MarkedDisk } from './change-marks.ts';
import { markedDiskSchema } from './change-marks.ts';

/** What an export makes in a QEMU, as the journal has it: written before the first part of it is made. */
export interface QemuRecordData {
  /** The QMP socket. */
  readonly qmp: string;
  /** The names of all our nodes and exports start with it. */
  readonly prefix: string;
  /** Of scratch files and of the NBD socket; nothing else is in it. */
  readonly directory: string;
  readonly disks: readonly { readonly index: number; readonly qdev: string; readonly node: string }[];
  readonly marks: readonly MarkedDisk[];
  readonly marksKept: MarksKept;
  /** Whether we started the NBD server, or may have. */
  readonly server: boolean;
  /** Present while the guest is frozen, or may be. */
  readonly frozen?: FreezeRecord | undefined;
  /** Whether the guest was running and may be paused by us. */
  readonly paused: boolean;
  /** For each answer of QEMU, ms. */
  readonly timeoutMs: number;
}

const dataSchema: z.ZodType<QemuRecordData> = z.object({
  qmp: z.string(),
  prefix: z.string().regex(/^gantry-[0-9a-f]{12}$/),
  directory: z.string().startsWith('/'),
  disks: z.array(z.object({ index: z.int(), qdev: z.string(), node: z.string() })),
  // Journals of earlier versions have no marks.
  marks: z.array(markedDiskSchema).default([]),
  marksKept: z.enum(MARKS_KEPT).default('earlier'),
  server: z.boolean(),
  frozen: freezeRecordSchema.optional(),
  paused: z.boolean(),
  timeoutMs: z.number(),
});

/** @throws ZodError where the record is not of this shape */
export function readRecord(record: SnapshotRecord): QemuRecordData {
  return dataSchema.parse(record.data);
}

export function toRecord(data: QemuRecordData): SnapshotRecord {
  const indexes = data.disks.map(({ index }) => index);
  const [first = -1] = indexes;
  const frozen = data.frozen === undefined ? '' : `, its guest frozen through ${data.frozen.socket}`;
  const description = `snapshot of disk ${indexes.join(', ')} in the QEMU at ${data.qmp} (nodes ${data.prefix}-…, scratch files in ${data.directory})${frozen}`;
  return { provider: 'qemu', index: first, description, data: { ...data } };
}

/** Names within a QEMU: at most 31 characters. */
export function namesOf(prefix: string, index: number): { readonly scratch: string; readonly filter: string; readonly access: string } {
  return { scratch: `${prefix}-fl${index}`, filter: `${prefix}-cbw${index}`, access: `${prefix}-acc${index}` };
}

/** Of the length of every prefix. */
export const SAMPLE_PREFIX = 'gantry-0123456789ab';

/** The NBD server's socket. */
export function socketOf({ directory }: Pick<QemuRecordData, 'directory'>): string {
  return `${directory}/nbd.sock`;
}
