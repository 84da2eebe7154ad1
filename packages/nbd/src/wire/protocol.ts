/*
 * The numbers of the NBD protocol. Sections are those of doc/proto.md of https://github.com/NetworkBlockDevice/nbd (May 2026).
 */

/** "Newstyle negotiation": `NBDMAGIC`, `IHAVEOPT`; "Oldstyle negotiation": what stands in place of the latter. */
export const INIT_MAGIC = 0x4e42444d41474943n;
export const OPTION_MAGIC = 0x49484156454f5054n;
export const OLDSTYLE_MAGIC = 0x00420281861253n;
/** "Fixed newstyle negotiation" */
export const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
/** "Request message", "Simple reply message", "Structured reply chunk message" */
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** "Handshake flags" and "Client flags": the bits are the same. */
export const HANDSHAKE = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** "Transmission flags" */
export const TRANSMISSION = { HAS_FLAGS: 1, READ_ONLY: 2, SEND_DF: 128, CAN_MULTI_CONN: 256 } as const;

/** "Option types" */
export const OPTION = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

/** "Option reply types" */
export const REPLY = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x80000001,
  ERR_POLICY: 0x80000002,
  ERR_INVALID: 0x80000003,
  ERR_PLATFORM: 0x80000004,
  ERR_TLS_REQD: 0x80000005,
  ERR_UNKNOWN: 0x80000006,
  ERR_SHUTDOWN: 0x80000007,
  ERR_BLOCK_SIZE_REQD: 0x80000008,
  ERR_TOO_BIG: 0x80000009,
} as const;

/** "Option reply types", under `NBD_REP_INFO` */
export const INFO = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** "Request types" and "Command flags" */
export const COMMAND = { READ: 0, WRITE: 1, DISC: 2, BLOCK_STATUS: 7 } as const;
export const COMMAND_FLAG = { DF: 4, REQ_ONE: 8 } as const;

/** "Structured reply types" and "Structured reply flags" */
export const CHUNK = { NONE: 0, OFFSET_DATA: 1, OFFSET_HOLE: 2, BLOCK_STATUS: 5, ERROR: 0x8001, ERROR_OFFSET: 0x8002 } as const;
export const CHUNK_DONE = 1;

/** "Error values" */
export const ERRNO = { EPERM: 1, EIO: 5, EINVAL: 22, EOVERFLOW: 75, ESHUTDOWN: 108 } as const;
const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM: operation not permitted',
  5: 'EIO: input/output error',
  12: 'ENOMEM: cannot allocate memory',
  22: 'EINVAL: invalid argument',
  28: 'ENOSPC: no space left on device',
  75: 'EOVERFLOW: value too large',
  95: 'ENOTSUP: operation not supported',
  108: 'ESHUTDOWN: server is shutting down',
};

/** "The client SHOULD treat an unexpected error value as if it had been NBD_EINVAL" ("Error values"). */
export function errnoText(errno: number): string {
  return ERRNO_NAMES[errno] ?? `error ${errno}`;
}

/** "`base:allocation` metadata context" */
export const ALLOCATION_CONTEXT = 'base:allocation';
export const ALLOCATION = { HOLE: 1, ZERO: 2 } as const;

/** "Conventions": strings are at most 4096 bytes. */
export const MAX_STRING_BYTES = 4096;
/** Nothing in an option reply is longer: two strings and some numbers. */
export const MAX_OPTION_REPLY_BYTES = 16_384;
/** "Size constraints": a payload that every server takes where none is advertised. */
export const DEFAULT_MAX_PAYLOAD_BYTES = 0x2000000;
export const MAX_MINIMUM_BLOCK_BYTES = 65_536;
/** "Structured reply types": a chunk of block status should not have more extents. */
export const MAX_STATUS_EXTENTS = 1_048_576;

export const OPTION_HEADER_BYTES = 16;
export const OPTION_REPLY_HEADER_BYTES = 20;
export const REQUEST_BYTES = 28;
export const SIMPLE_REPLY_BYTES = 16;
export const CHUNK_HEADER_BYTES = 20;
