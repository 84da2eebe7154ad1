import { z } from 'zod';
import type { GantryErrorCode } from '../report/errors.ts';
import { ERROR_EXIT_CODES } from '../report/errors.ts';
import { MAX_BLOCK_BYTES, MIN_BLOCK_BYTES } from '../frames/block-digests.ts';
import { hostName } from '../instances/field-types.ts';
import { MAX_NATIVE_FILES } from '../instances/native-files.ts';
import type { PlannedTarget } from '../report/events.ts';
import { MAX_CONTROL_BYTES } from './wire.ts';

/*
 * The control messages of a pipe (docs/reference/formats/pipe.md), as JSON. What the other side sends is limited, checked and never trusted.
 */

/** Version of the protocol. Both sides must have the same. */
export const PIPE_VERSION = 3;

/** State of a disk of the target. */
export type TargetDiskState = 'untouched' | 'partial' | 'complete' | 'committed';

/** How far a move got. */
export type MoveStage = 'connect' | 'check' | 'transfer' | 'rename' | 'define' | 'commit';

export type DiskStates = readonly { readonly disk: number; readonly state: TargetDiskState }[];

/** The first step: what the source wants. */
export interface Order {
  readonly kind: 'order';
  /** 32 hexadecimal digits, new for each move. */
  readonly moveId: string;
  /** Name of the moved instance on the source. */
  readonly instance: string;
  /** The node that the instance comes from. */
  readonly node: string;
  /** The `os` or `os+variant` whose scripts made the data. */
  readonly os: string;
  /** Path of the instance file on the receiver's machine. */
  readonly instanceFile: string;
  readonly disks: readonly OrderedDisk[];
  readonly rename: boolean;
  /** Where the target becomes known before the commit; it is started there after the commit. */
  readonly define?: OrderedDefinition;
  readonly allowOtherOs: boolean;
  readonly forceVariant: boolean;
  /** Continue, with a warning, if a disk of the target is in use. */
  readonly forceInUse: boolean;
  /** Only the plan is wanted: the receiver ends after `ready`. */
  readonly dryRun: boolean;
  readonly debug: boolean;
  /** Seconds without data after which each side gives the other up. */
  readonly peerTimeout: number;
  /** The data comes in rounds, as parts of the disks. */
  readonly live?: LiveOrder;
}

/** How the data of a move in rounds comes. */
export interface LiveOrder {
  /** Size of the blocks in which disks are compared. */
  readonly blockBytes: number;
  /** Before the first round, the source asks what the receiver's disks contain. */
  readonly compare: boolean;
}

export interface OrderedDefinition {
  /** Address of the source of instances, as the receiver names it. */
  readonly source: string;
  readonly start: boolean;
  readonly newIdentity: boolean;
}

export interface OrderedDisk {
  readonly disk: number;
  /** MiB, where known to the source. */
  readonly size?: number;
  /** Bytes to be transferred, where known to the source. */
  readonly plainBytes?: number;
}

/** The last message of a side that gives up. */
export interface Failure {
  readonly kind: 'fail';
  readonly stage: MoveStage;
  /** Of a GantryError. */
  readonly code?: string;
  readonly message: string;
  readonly hint?: string;
  readonly disk?: number;
  readonly details: readonly string[];
  /** From the receiver: the state of each disk. */
  readonly states?: DiskStates;
}

/** A line of a script of the receiver if `script` is given; otherwise a warning. */
export interface PeerEvent {
  readonly kind: 'event';
  readonly script?: string;
  readonly stream?: 'stdout' | 'stderr';
  readonly disk?: number;
  readonly text: string;
}

/** The totals of one disk: as sent (`end`) or as received (`taken`). */
export interface DiskTotals {
  readonly kind: 'end' | 'taken';
  readonly disk: number;
  readonly frames: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly sha256: string;
  /** In a round: SHA-256 of the digests of all blocks of the disk as it is now. */
  readonly contents?: string;
}

/** A round begins; `isLast`: what comes is the state that is committed. */
export interface Round {
  readonly kind: 'round';
  readonly isLast: boolean;
}

/** The receiver has checked the order. `window`: how many bytes of each disk may be sent ahead of what it consumes. */
export interface Ready {
  readonly kind: 'ready';
  readonly instance: string;
  readonly node: string;
  readonly window: number;
  /** The disks of the target that the order names, and what they contain. */
  readonly disks: readonly PlannedTarget[];
}

/** Bytes of one native file, by its place in the list that follows: see {@link Described}. */
export interface NativePart {
  readonly kind: 'native';
  readonly file: number;
  /** In base64. */
  readonly data: string;
}

/** All bytes of the native description were sent, and they are these files. */
export interface Described {
  readonly kind: 'described';
  readonly files: readonly { readonly name: string; readonly secret: boolean; readonly size: number }[];
}

/** The target is known in the source of the order, stopped, under this name. */
export interface Defined {
  readonly kind: 'defined';
  readonly name: string;
}

/** The target was started, unless a problem says why not. */
export interface Started {
  readonly kind: 'started';
  readonly problem?: string;
}

/** A step without further data. */
export interface Step {
  readonly kind: 'compare' | 'compared' | 'listening' | 'prepare' | 'prepared' | 'commit' | 'committed' | 'acknowledged';
}

export type Control = Order | Ready | Round | DiskTotals | PeerEvent | NativePart | Described | Defined | Started | Step | Failure;
export type ControlKind = Control['kind'];
/** The messages that can have this kind. */
export type ControlOf<Kind extends ControlKind> = Control extends infer Each
  ? Each extends { readonly kind: infer K }
    ? Kind extends K
      ? Each
      : never
    : never
  : never;

const MAX_DISKS = 1000;
const text = (max: number): z.ZodString => z.string().max(max);
const disk = z
  .int()
  .min(0)
  .max(MAX_DISKS - 1);
const bytes = z.int().min(0);
const blockBytes = z
  .int()
  .min(MIN_BLOCK_BYTES)
  .max(MAX_BLOCK_BYTES)
  .refine((size) => Number.isInteger(Math.log2(size)));
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const stage = z.enum(['connect', 'check', 'transfer', 'rename', 'define', 'commit']);
const state = z.enum(['untouched', 'partial', 'complete', 'committed']);

const controlSchema: z.ZodType<Control> = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('order'),
    moveId: z.string().regex(/^[0-9a-f]{32}$/),
    instance: hostName,
    node: text(255),
    os: text(255),
    instanceFile: text(4096),
    disks: z
      .array(z.strictObject({ disk, size: bytes.exactOptional(), plainBytes: bytes.exactOptional() }))
      .min(1)
      .max(MAX_DISKS),
    rename: z.boolean(),
    define: z.strictObject({ source: text(4096), start: z.boolean(), newIdentity: z.boolean() }).exactOptional(),
    allowOtherOs: z.boolean(),
    forceVariant: z.boolean(),
    forceInUse: z.boolean(),
    dryRun: z.boolean(),
    debug: z.boolean(),
    peerTimeout: z.int().min(1).max(86_400),
    live: z.strictObject({ blockBytes, compare: z.boolean() }).exactOptional(),
  }),
  z.strictObject({
    kind: z.literal('ready'),
    instance: hostName,
    node: text(255),
    window: z
      .int()
      .min(1)
      .max(2 ** 31),
    disks: z.array(z.strictObject({ disk, target: text(4096), targetBytes: bytes.exactOptional(), holds: text(1024) })).max(MAX_DISKS),
  }),
  z.strictObject({
    kind: z.enum(['end', 'taken']),
    disk,
    frames: bytes,
    plainBytes: bytes,
    storedBytes: bytes,
    sha256,
    contents: sha256.exactOptional(),
  }),
  z.strictObject({ kind: z.literal('round'), isLast: z.boolean() }),
  z.strictObject({
    kind: z.literal('event'),
    script: text(64).exactOptional(),
    stream: z.enum(['stdout', 'stderr']).exactOptional(),
    disk: disk.exactOptional(),
    text: text(8192),
  }),
  z.strictObject({
    kind: z.literal('native'),
    file: z
      .int()
      .min(0)
      .max(MAX_NATIVE_FILES - 1),
    data: z.base64().max(MAX_CONTROL_BYTES),
  }),
  z.strictObject({
    kind: z.literal('described'),
    files: z.array(z.strictObject({ name: text(100), secret: z.boolean(), size: bytes })).max(MAX_NATIVE_FILES),
  }),
  z.strictObject({ kind: z.literal('defined'), name: text(255).min(1) }),
  z.strictObject({ kind: z.literal('started'), problem: text(4096).exactOptional() }),
  z.strictObject({ kind: z.enum(['compare', 'compared', 'listening', 'prepare', 'prepared', 'commit', 'committed', 'acknowledged']) }),
  z.strictObject({
    kind: z.literal('fail'),
    stage,
    code: text(64).exactOptional(),
    message: text(4096),
    hint: text(2048).exactOptional(),
    disk: disk.exactOptional(),
    details: z.array(text(2048)).max(32),
    states: z.array(z.strictObject({ disk, state })).max(MAX_DISKS).exactOptional(),
  }),
]);

/** Undefined if the text is not a control message. */
export function parseControl(json: string): Control | undefined {
  try {
    return controlSchema.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined;
  }
}

/** The error code of the other side, if this version knows it. */
export function knownCode(code: string | undefined): GantryErrorCode | undefined {
  return CODES.find((known) => known === code);
}

const CODES = Object.keys(ERROR_EXIT_CODES).filter((code): code is GantryErrorCode => code in ERROR_EXIT_CODES);
