import { z } from 'zod';
import type { GantryErrorCode } from '../errors.ts';
import { ERROR_EXIT_CODES } from '../errors.ts';

/*
 * The control messages of a pipe (docs/formats/pipe.md), as JSON. What the other side says is data: bounded, checked, never trusted.
 */

/** Version of the protocol. Both sides must speak the same. */
export const PIPE_VERSION = 1;

/** What became of a disk of the target. */
export const DISK_STATES = ['untouched', 'partial', 'complete', 'committed'] as const;
export type TargetDiskState = (typeof DISK_STATES)[number];

/** How far a move got. */
export const MOVE_STAGES = ['connect', 'check', 'transfer', 'rename', 'commit'] as const;
export type MoveStage = (typeof MOVE_STAGES)[number];

const MOST_DISKS = 1000;
const text = (most: number): z.ZodString => z.string().max(most);
const disk = z
  .int()
  .min(0)
  .max(MOST_DISKS - 1);
const bytes = z.int().min(0);
const moveId = z.string().regex(/^[0-9a-f]{32}$/);

const states = z.array(z.strictObject({ disk, state: z.enum(DISK_STATES) })).max(MOST_DISKS);
export type DiskStates = z.infer<typeof states>;

const digest = { plainBytes: bytes, storedBytes: bytes, frames: bytes, sha256: z.string().regex(/^[0-9a-f]{64}$/) };

const order = z.strictObject({
  kind: z.literal('order'),
  moveId,
  /** The instance that is moved, by the name that it has on the source. */
  instance: text(255),
  /** Name of the node that it comes from. */
  node: text(255),
  /** The OS definition (without a variant) whose scripts made the data. */
  os: text(255),
  /** The instance file on the receiver's machine. */
  instanceFile: text(4096),
  disks: z
    .array(
      z.strictObject({
        disk,
        /** MiB, where the source knows. */
        size: bytes.exactOptional(),
        /** Bytes that will come, where the source knows already. */
        plainBytes: bytes.exactOptional(),
      }),
    )
    .min(1)
    .max(MOST_DISKS),
  rename: z.boolean(),
  allowOtherOs: z.boolean(),
  forceVariant: z.boolean(),
  debug: z.boolean(),
  /** Seconds without a byte after which either side gives the other up. */
  peerTimeout: z.int().min(1).max(86_400),
});
export type Order = z.infer<typeof order>;

const fail = z.strictObject({
  kind: z.literal('fail'),
  stage: z.enum(MOVE_STAGES),
  /** Absent where it was a signal. */
  code: text(64).exactOptional(),
  message: text(4096),
  hint: text(2048).exactOptional(),
  disk: disk.exactOptional(),
  details: z.array(text(2048)).max(32),
  /** From the receiver: what became of each disk. */
  states: states.exactOptional(),
});
export type Failure = z.infer<typeof fail>;

const event = z.strictObject({
  kind: z.literal('event'),
  /** A line of a script where it is given, else a warning. */
  script: text(64).exactOptional(),
  stream: z.enum(['stdout', 'stderr']).exactOptional(),
  disk: disk.exactOptional(),
  text: text(8192),
});
export type PeerEvent = z.infer<typeof event>;

const controlSchema = z.discriminatedUnion('kind', [
  order,
  z.strictObject({
    kind: z.literal('ready'),
    instance: text(255),
    node: text(255),
    window: z
      .int()
      .min(1)
      .max(2 ** 31),
  }),
  z.strictObject({ kind: z.literal('end'), disk, ...digest }),
  z.strictObject({ kind: z.literal('taken'), disk, ...digest }),
  event,
  z.strictObject({ kind: z.literal('prepare') }),
  z.strictObject({ kind: z.literal('prepared') }),
  z.strictObject({ kind: z.literal('commit') }),
  z.strictObject({ kind: z.literal('committed') }),
  z.strictObject({ kind: z.literal('acknowledged') }),
  fail,
]);
export type Control = z.infer<typeof controlSchema>;
export type ControlKind = Control['kind'];
export type ControlOf<Kind extends ControlKind> = Extract<Control, { readonly kind: Kind }>;

/** Undefined for what is no control message. */
export function parseControl(json: string): Control | undefined {
  try {
    return controlSchema.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined;
  }
}

/** The code of an error of the other side, if it is one that we know. */
export function knownCode(code: string | undefined): GantryErrorCode | undefined {
  return CODES.find((known) => known === code);
}

const CODES = Object.keys(ERROR_EXIT_CODES).filter((code): code is GantryErrorCode => code in ERROR_EXIT_CODES);
