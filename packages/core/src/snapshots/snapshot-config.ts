import { parse } from 'yaml';
import { z } from 'zod';

import { GantryError } from '../report/errors.ts';
import { readSmallFile } from '../system/read-small-file.ts';
import type { Argv } from '../system/run-command.ts';
import { errorText } from '../report/error-text.ts';
import { placeholdersOf } from './placeholders.ts';
import type { LibvirtSnapshotConfig } from './libvirt/libvirt-config.ts';
import { libvirtConfigSchema } from './libvirt/libvirt-config.ts';
import type { SnapshotSize } from './snapshot-size.ts';
import { parseSnapshotSize } from './snapshot-size.ts';

/** How snapshots are made with the user's own commands (docs/reference/snapshots.md). Durations in seconds. */
export interface SnapshotConfig {
  /** Makes the snapshot of one disk. */
  readonly create?: Argv | undefined;
  /** Removes the snapshot; also called if the snapshot was not made, or only in part. */
  readonly remove?: Argv | undefined;
  /** Path of the snapshot; without it, the last line that `create` writes to stdout is the path. */
  readonly device?: string | undefined;
  /** Runs once before the first snapshot of any kind. */
  readonly freeze?: Argv | undefined;
  /** Runs once after the last snapshot, even if something failed. */
  readonly thaw?: Argv | undefined;
  /** Makes the instance write nothing more: before the last round of a live move. */
  readonly pause?: Argv | undefined;
  /** Lets it go on, if the move failed. */
  readonly resume?: Argv | undefined;
  /** Space for a snapshot that needs some of its own, as a classic one of LVM does. */
  readonly size?: SnapshotSize | undefined;
  readonly timeouts: SnapshotTimeouts;
  /** For the provider `qemu`. */
  readonly qemu?: QemuSnapshotConfig | undefined;
  /** For the provider `libvirt`. */
  readonly libvirt?: LibvirtSnapshotConfig | undefined;
}

/** How the QEMU of a running guest takes snapshots of its disks. */
export interface QemuSnapshotConfig {
  /** The QMP socket; without it, it is read from the command line of the QEMU that has the disk open. */
  readonly qmp?: string | undefined;
  /** Directory for what the guest overwrites while its disks are read; Gantry's own where absent. */
  readonly scratch?: string | undefined;
  /** MiB that must stay free there: below that the export fails. */
  readonly reserve: number;
  /** For each answer of QEMU, seconds. */
  readonly timeout: number;
  /** Socket of the guest agent; without it the guest is not frozen. */
  readonly agent?: string | undefined;
  /** How long the guest may be frozen, seconds. */
  readonly frozen: number;
}

/** Seconds. */
interface SnapshotTimeouts {
  readonly create: number;
  readonly remove: number;
  readonly freeze: number;
  readonly thaw: number;
  readonly pause: number;
  readonly resume: number;
  /** For the device to appear after `create` ended. */
  readonly device: number;
}

/** Placeholders in the commands: those of the instance, and those of one disk. */
const INSTANCE_PLACEHOLDERS: readonly string[] = ['instance', 'run'];
const DISK_PLACEHOLDERS: readonly string[] = [...INSTANCE_PLACEHOLDERS, 'path', 'uri', 'basename', 'dirname', 'name', 'index', 'uuid'];

/** Starts with a slash, or with a placeholder that is an absolute path. */
const ABSOLUTE = /^(\/|\{path\}|\{dirname\})/;

/** Removing must end within the timeout of cleaning up. */
const MAX_CREATE_S = 3600;
const MAX_REMOVE_S = 240;
/** A guest that is frozen for longer loses connections, and its users their patience. */
const MAX_FROZEN_S = 60;
const MAX_RESERVE_MIB = 1024 * 1024;

const seconds = (preset: number, max: number): z.ZodDefault<z.ZodNumber> => z.number().min(0).max(max).default(preset);
const timeoutsSchema = z.strictObject({
  create: seconds(60, MAX_CREATE_S),
  remove: seconds(60, MAX_REMOVE_S),
  freeze: seconds(10, MAX_CREATE_S),
  thaw: seconds(10, MAX_REMOVE_S),
  pause: seconds(60, MAX_CREATE_S),
  resume: seconds(60, MAX_REMOVE_S),
  device: seconds(5, MAX_CREATE_S),
});
const qemuSchema = z.strictObject({
  qmp: template(['instance']).startsWith('/', 'must be an absolute path').optional(),
  scratch: z.string().startsWith('/', 'must be an absolute path').optional(),
  reserve: z.number().min(1).max(MAX_RESERVE_MIB).default(64),
  timeout: z.number().min(1).max(MAX_REMOVE_S).default(30),
  agent: template(['instance']).startsWith('/', 'must be an absolute path').optional(),
  frozen: z.int().min(1).max(MAX_FROZEN_S).default(10),
});
const command = (known: readonly string[]) => z.tuple([template(known).min(1)], template(known));

const configSchema = z
  .strictObject({
    create: command(DISK_PLACEHOLDERS).optional(),
    remove: command([...DISK_PLACEHOLDERS, 'device']).optional(),
    device: template(DISK_PLACEHOLDERS).regex(ABSOLUTE, 'must be an absolute path').optional(),
    freeze: command(INSTANCE_PLACEHOLDERS).optional(),
    thaw: command(INSTANCE_PLACEHOLDERS).optional(),
    pause: command(INSTANCE_PLACEHOLDERS).optional(),
    resume: command(INSTANCE_PLACEHOLDERS).optional(),
    size: size().optional(),
    timeouts: timeoutsSchema.prefault({}),
    qemu: qemuSchema.optional(),
    libvirt: libvirtConfigSchema.optional(),
  })
  .superRefine((config, context) => {
    const complain = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if ((config.create === undefined) !== (config.remove === undefined))
      complain('remove', 'create and remove belong together: one is missing');
    if ((config.freeze === undefined) !== (config.thaw === undefined)) complain('thaw', 'freeze and thaw belong together: one is missing');
    if ((config.pause === undefined) !== (config.resume === undefined))
      complain('resume', 'pause and resume belong together: one is missing');
    const { create, freeze, pause, size, qemu, libvirt } = config;
    if ([create, freeze, pause, size, qemu, libvirt].every((part) => part === undefined))
      complain('create', 'is missing: there must be at least create, freeze, pause, size, qemu or libvirt');
    if (config.device === undefined && config.remove?.some(usesDevice) === true) {
      complain('remove', '{device} can only be used if `device` is given, because it must be known before the snapshot is made');
    }
  });

/** Also of a template that is not valid, about which `template` complains. */
function usesDevice(text: string): boolean {
  return text.replaceAll(/\{\{|\}\}/g, '').includes('{device}');
}

function template(known: readonly string[]): z.ZodString {
  return z.string().superRefine((text, context) => {
    try {
      const unknown = placeholdersOf(text).find((name) => !known.includes(name));
      if (unknown !== undefined)
        context.addIssue({
          code: 'custom',
          message: `unknown placeholder {${unknown}}; use ${known.map((name) => `{${name}}`).join(' ')}`,
        });
    } catch (error) {
      context.addIssue({ code: 'custom', message: errorText(error) });
    }
  });
}

function size() {
  return z.union([z.string(), z.int().positive().transform(String)]).transform((text, context) => {
    try {
      return parseSnapshotSize(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: errorText(error) });
      return z.NEVER;
    }
  });
}

/**
 * Reads the file that `--snapshot-config` names: YAML or JSON.
 * @throws GantryError USAGE, with every problem and its place
 */
export async function readSnapshotConfig(path: string): Promise<SnapshotConfig> {
  let text: string;
  try {
    text = (await readSmallFile(path)).toString('utf8');
  } catch (error) {
    throw unusable(path, `cannot read the snapshot configuration ${path}: ${errorText(error)}`, [], error);
  }
  return parseSnapshotConfig(text, path);
}

/** @param path for messages @throws GantryError USAGE */
export function parseSnapshotConfig(text: string, path: string): SnapshotConfig {
  let value: unknown;
  try {
    // Its warnings would go to the terminal.
    value = parse(text, { logLevel: 'error' });
  } catch (error) {
    throw unusable(path, `the snapshot configuration ${path} is not valid YAML: ${errorText(error)}`, [], error);
  }
  const result = configSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.map(String).join('.') || 'the file'}: ${issue.message}`);
  throw unusable(path, `the snapshot configuration ${path} is not valid: ${problems[0] ?? 'unknown problem'}`, problems.slice(1));
}

function unusable(path: string, message: string, details: readonly string[], cause?: unknown): GantryError {
  return new GantryError('USAGE', { message, hint: `Correct ${path}.`, details, cause });
}
