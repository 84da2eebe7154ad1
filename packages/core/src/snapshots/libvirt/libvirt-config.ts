import { z } from 'zod';

import { defaultScratch } from '../scratch-directory.ts';

/** How libvirt takes snapshots of the disks of a running guest: the section `libvirt` of a snapshot configuration. */
export interface LibvirtSnapshotConfig {
  /** Directory for what the guest overwrites while its disks are read; Gantry's own where absent. */
  readonly scratch?: string | undefined;
  /** Directory for the NBD socket, in which the guest's QEMU may write; default: the guest's own at libvirt. */
  readonly socket?: string | undefined;
  /** MiB that must stay free in `scratch`: below that the export fails. */
  readonly reserve: number;
  /** For each answer of libvirt, seconds. */
  readonly timeout: number;
  /** Whether the guest agent freezes file systems at the moment of the snapshot, and whether the export fails where it cannot. */
  readonly freeze: 'never' | 'try' | 'require';
  /** Seconds, from the request to freeze, after which the agent is asked to thaw, no matter what. */
  readonly frozen: number;
}

const MAX_RESERVE_MIB = 1024 * 1024;
const MAX_TIMEOUT_S = 240;
const MAX_FROZEN_S = 60;
const MUST_BE_ABSOLUTE = 'must be an absolute path';

export const libvirtConfigSchema: z.ZodType<LibvirtSnapshotConfig> = z.strictObject({
  scratch: z.string().startsWith('/', MUST_BE_ABSOLUTE).optional(),
  socket: z.string().startsWith('/', MUST_BE_ABSOLUTE).optional(),
  reserve: z.number().min(1).max(MAX_RESERVE_MIB).default(1024),
  timeout: z.number().min(1).max(MAX_TIMEOUT_S).default(60),
  freeze: z.enum(['never', 'try', 'require']).default('never'),
  frozen: z.number().min(1).max(MAX_FROZEN_S).default(10),
});

/** What the user says, and the defaults. */
export interface LibvirtSettings extends LibvirtSnapshotConfig {
  readonly scratch: string;
  /** Whether that is Gantry's own directory, which need not be there yet. */
  readonly isDefaultScratch: boolean;
}

export function libvirtSettings(section: LibvirtSnapshotConfig | undefined): LibvirtSettings {
  const { scratch, ...rest } = section ?? libvirtConfigSchema.parse({});
  return { ...rest, scratch: scratch ?? defaultScratch(), isDefaultScratch: scratch === undefined };
}
