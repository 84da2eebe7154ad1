import type { WireField, WireReader } from './wire.ts';

const HAS_SIZE = 0x1;
const HAS_OWNER = 0x2;
const HAS_PERMISSIONS = 0x4;
const HAS_TIMES = 0x8;
const HAS_EXTENDED = 0x80000000;

const KIND_MASK = 0o170000;
const REGULAR = 0o100000;
const DIRECTORY = 0o040000;
const SYMBOLIC_LINK = 0o120000;

/** The attributes that a server reports for a file (section 5 of the draft); others are undefined. */
export interface Attributes {
  /** Bytes. */
  readonly size?: number;
  /** `st_mode` of stat(2): kind and permissions. */
  readonly mode?: number;
  /** The uid of its owner, on the server. */
  readonly user?: number;
  /** Seconds since 1970. */
  readonly modifiedSeconds?: number;
}

export function readAttributes(reader: WireReader): Attributes {
  const flags = reader.uint32();
  const attributes: { -readonly [K in keyof Attributes]: Attributes[K] } = {};
  if ((flags & HAS_SIZE) !== 0) attributes.size = reader.uint64();
  if ((flags & HAS_OWNER) !== 0) {
    attributes.user = reader.uint32();
    reader.uint32();
  }
  if ((flags & HAS_PERMISSIONS) !== 0) attributes.mode = reader.uint32();
  if ((flags & HAS_TIMES) !== 0) {
    reader.uint32();
    attributes.modifiedSeconds = reader.uint32();
  }
  if ((flags & HAS_EXTENDED) !== 0) skipExtended(reader);
  return attributes;
}

function skipExtended(reader: WireReader): void {
  for (let left = reader.uint32(); left > 0; left -= 1) {
    reader.bytes();
    reader.bytes();
  }
}

/** The fields for a new file, or for a change: permissions, and the size to truncate a file to. */
export function attributeFields({ size, mode }: Pick<Attributes, 'size' | 'mode'>): readonly WireField[] {
  const flags = (size === undefined ? 0 : HAS_SIZE) | (mode === undefined ? 0 : HAS_PERMISSIONS);
  return [flags, ...(size === undefined ? [] : [BigInt(size)]), ...(mode === undefined ? [] : [mode])];
}

export function isRegularFile({ mode }: Attributes): boolean {
  return mode !== undefined && (mode & KIND_MASK) === REGULAR;
}

export function isDirectory({ mode }: Attributes): boolean {
  return mode !== undefined && (mode & KIND_MASK) === DIRECTORY;
}

export function isSymbolicLink({ mode }: Attributes): boolean {
  return mode !== undefined && (mode & KIND_MASK) === SYMBOLIC_LINK;
}
