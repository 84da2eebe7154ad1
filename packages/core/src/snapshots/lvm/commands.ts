import { z } from 'zod';

import { errnoName } from '../../system/errno-name.ts';
import type { ProcessGroup } from '../../system/process-group.ts';
import type { Argv } from '../../system/run-command.ts';
import { runCommand } from '../../system/run-command.ts';

/** A command of LVM waits for others that change the same group. */
const TIMEOUT_S = 60;
/** One that is killed in the middle can leave a volume suspended, and all writers waiting: it gets time to end by itself. */
export const LVM_GRACE_MS = 60_000;
/** A report of one volume has 1 KiB. */
const MAX_REPORT_BYTES = 1024 * 1024;

export interface ToolOptions {
  readonly signal: AbortSignal;
  readonly started?: (group: ProcessGroup) => Promise<void>;
}

/** The program is not there. */
export class ToolMissingError extends Error {
  override readonly name = 'ToolMissingError';
}

/**
 * Runs a command of the Debian package `lvm2` or `dmsetup`.
 * @throws ToolMissingError, Error with its last lines, the signal's reason
 */
export async function runLvm(argv: Argv, options: ToolOptions): Promise<string> {
  try {
    return await runCommand(argv, { ...options, timeoutS: TIMEOUT_S, graceMs: LVM_GRACE_MS, keptBytes: MAX_REPORT_BYTES });
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof Error) || errnoName(error.cause) !== 'ENOENT') throw error;
    const name = argv[0] === 'dmsetup' ? 'dmsetup' : 'lvm2';
    throw new ToolMissingError(`${argv[0]} is not installed (Debian package ${name})`, { cause: error });
  }
}

/** What `lvs` says of one volume; names as in lvs(8). Sizes in bytes. A yes or no is a word or nothing. */
export interface VolumeReport {
  readonly vg_name: string;
  readonly vg_uuid: string;
  readonly vg_free: number;
  readonly vg_extent_size: number;
  readonly vg_permissions: string;
  readonly vg_exported: string;
  readonly vg_partial: string;
  readonly lv_name: string;
  readonly lv_uuid: string;
  readonly lv_tags: string;
  readonly lv_size: number;
  readonly lv_path: string;
  readonly lv_device_open: string;
  readonly lv_kernel_major: string;
  readonly lv_kernel_minor: string;
  readonly lv_health_status: string;
  readonly segtype: string;
  readonly pool_lv: string;
  readonly origin_uuid: string;
  readonly data_percent: string;
  readonly metadata_percent: string;
}

const bytes = z.string().regex(/^\d+$/).transform(Number).pipe(z.int());
const rowShape = {
  vg_name: z.string().min(1),
  vg_uuid: z.string().min(1),
  vg_free: bytes,
  vg_extent_size: bytes,
  vg_permissions: z.string(),
  vg_exported: z.string(),
  vg_partial: z.string(),
  lv_name: z.string().min(1),
  lv_uuid: z.string().min(1),
  lv_tags: z.string(),
  lv_size: bytes,
  lv_path: z.string(),
  lv_device_open: z.string(),
  lv_kernel_major: z.string(),
  lv_kernel_minor: z.string(),
  lv_health_status: z.string(),
  segtype: z.string(),
  pool_lv: z.string(),
  origin_uuid: z.string(),
  data_percent: z.string(),
  metadata_percent: z.string(),
} satisfies { readonly [Field in keyof VolumeReport]: z.ZodType<VolumeReport[Field]> };
const reportSchema = z.object({ report: z.array(z.object({ lv: z.array(z.object(rowShape)) })) });

/** A volume group. Sizes in bytes. */
export interface GroupReport {
  readonly vg_name: string;
  readonly vg_uuid: string;
  readonly vg_free: number;
  readonly vg_extent_size: number;
}

const groupShape = { vg_name: z.string().min(1), vg_uuid: z.string().min(1), vg_free: bytes, vg_extent_size: bytes } satisfies {
  readonly [Field in keyof GroupReport]: z.ZodType<GroupReport[Field]>;
};
const groupReportSchema = z.object({ report: z.array(z.object({ vg: z.array(z.object(groupShape)) })) });
const FORMAT: readonly string[] = ['--reportformat', 'json', '--units', 'b', '--nosuffix', '--options'];

/** The group of that name, if LVM sees one. @throws Error where LVM fails, or answers what is not a report */
export async function reportGroup(name: string, signal: AbortSignal): Promise<GroupReport | undefined> {
  const text = await runLvm(['vgs', ...FORMAT, Object.keys(groupShape).join(','), '--select', selectionOf({ vg_name: name })], { signal });
  return groupReportSchema.parse(JSON.parse(text)).report.flatMap(({ vg }) => vg)[0];
}

/** Whether LVM sees a group. @throws Error where LVM fails */
export async function isGroupThere(groupUuid: string, signal: AbortSignal): Promise<boolean> {
  const argv: Argv = ['vgs', '--noheadings', '--options', 'vg_name', '--select', selectionOf({ vg_uuid: groupUuid })];
  return (await runLvm(argv, { signal })).trim() !== '';
}

/**
 * The volumes that match all conditions, each a field and its value. Values must be safe in a selection: they are UUIDs and names.
 * @throws Error where LVM fails, or answers what is not a report
 */
export async function reportVolumes(conditions: Readonly<Record<string, string>>, signal: AbortSignal): Promise<readonly VolumeReport[]> {
  const text = await runLvm(['lvs', ...FORMAT, Object.keys(rowShape).join(','), '--select', selectionOf(conditions)], { signal });
  const rows = reportSchema.parse(JSON.parse(text)).report.flatMap(({ lv }) => lv);
  // A volume of several segments has a row for each where fields of segments are asked for.
  return [...new Map(rows.map((row) => [row.lv_uuid, row])).values()];
}

function selectionOf(conditions: Readonly<Record<string, string>>): string {
  const parts = Object.entries(conditions).map(([field, value]) => {
    if (!/^[\w.+-]+$/.test(value)) throw new Error(`"${value}" is not a valid name or UUID of LVM`);
    return `${field}="${value}"`;
  });
  return parts.join(' && ');
}
