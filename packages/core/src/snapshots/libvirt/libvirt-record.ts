import { z } from 'zod';

import { processGroupSchema } from '../../system/run-command.ts';
import type { ProcessGroup } from '../../system/process-group.ts';
import type { SnapshotRecord } from '../provider.ts';
import type { MarksRecord } from './change-marks.ts';
import { marksRecordSchema } from './change-marks.ts';

/** What an export makes in a libvirt, as the journal has it: written before the first part of it is made. */
export interface LibvirtRecordData {
  /** Connection URI. */
  readonly uri: string;
  /** Of the domain. */
  readonly uuid: string;
  /** Of the disks in the instance. */
  readonly indexes: readonly number[];
  /** Ours: the description of the backup, and the directory of scratch files, is in it and nothing else. */
  readonly directory: string;
  /** The NBD socket, by which our backup is known from those of others. */
  readonly socket: string;
  /** Present while file systems of the guest may be frozen by us. */
  readonly freeze?: FreezeRecord | undefined;
  /** Present if the backup leaves marks. */
  readonly marks?: MarksRecord | undefined;
  /** For each answer of libvirt, seconds. */
  readonly timeoutS: number;
}

export interface FreezeRecord {
  /** What thaws after a while, even if we were killed. */
  readonly guard?: ProcessGroup | undefined;
  /** The command that freezes. */
  readonly freezing?: ProcessGroup | undefined;
}

const dataSchema: z.ZodType<LibvirtRecordData> = z.object({
  uri: z.string(),
  uuid: z.uuid(),
  indexes: z.array(z.int()),
  directory: z.string().regex(/^\/(.*\/)?gantry-[0-9a-f]{12}$/s),
  socket: z.string().regex(/^\/(.*\/)?gantry-[0-9a-f]{12}\.sock$/s),
  freeze: z.object({ guard: processGroupSchema.optional(), freezing: processGroupSchema.optional() }).optional(),
  marks: marksRecordSchema.optional(),
  timeoutS: z.number(),
});

/** @throws ZodError where the record is not of this shape */
export function readLibvirtRecord(record: SnapshotRecord): LibvirtRecordData {
  return dataSchema.parse(record.data);
}

export function toLibvirtRecord(data: LibvirtRecordData): SnapshotRecord {
  const [first = -1] = data.indexes;
  const frozen = data.freeze === undefined ? '' : ', its file systems maybe frozen';
  const description = `snapshot of disk ${data.indexes.join(', ')} of the libvirt domain ${data.uuid} (scratch files in ${data.directory}${frozen})`;
  return { provider: 'libvirt', index: first, description, data: { ...data } };
}

/** Scratch files: it belongs to the user of the guest's QEMU, but what it is in does not, so that it cannot be replaced. */
export function scratchFilesOf(directory: string): string {
  return `${directory}/files`;
}
