/**
 * Every error code of core, with the exit code that the command line ends with. The codes are stable: programs may switch on them.
 * `error-meanings.ts` says what each one means. A new code needs a line in both files, then `pnpm docs:update`.
 */
export const ERROR_EXIT_CODES = {
  // 2: the call itself is wrong
  USAGE: 2,
  // 2, too: the configuration
  CONFIGURATION_UNREADABLE: 2,
  CONFIGURATION_SYNTAX: 2,
  CONFIGURATION_INVALID: 2,
  // 2, too: keys
  RECIPIENT_INVALID: 2,
  IDENTITY_UNUSABLE: 2,
  SIGNING_FAILED: 2,
  // 3: the description of the instance, or where it is described
  INSTANCE_FILE_UNREADABLE: 3,
  INSTANCE_FILE_SYNTAX: 3,
  INSTANCE_INVALID: 3,
  INVENTORY_ADDRESS: 3,
  INVENTORY_NOT_INSTALLED: 3,
  INVENTORY_NOT_FOUND: 3,
  INVENTORY_DENIED: 3,
  INVENTORY_UNAVAILABLE: 3,
  INVENTORY_FAILED: 3,
  INVENTORY_READ_ONLY: 3,
  // 4: the OS definition
  OS_NAME_INVALID: 4,
  OS_NOT_FOUND: 4,
  OS_INVALID: 4,
  OS_VARIANT: 4,
  OS_HYPERVISOR: 4,
  OS_MISMATCH: 4,
  OS_PARAMETER: 4,
  OS_OPERATION_UNSUPPORTED: 4,
  // 5: disks and snapshots
  INSTANCE_ELSEWHERE: 5,
  DISK_MISSING: 5,
  DISK_KIND: 5,
  DISK_DENIED: 5,
  DISK_READ_ONLY: 5,
  DISK_TOO_SMALL: 5,
  DISK_TOO_FEW: 5,
  DISK_UNKNOWN: 5,
  DISK_IO: 5,
  DISK_NOT_CREATED: 5,
  SNAPSHOT_FAILED: 5,
  SNAPSHOT_FULL: 5,
  SNAPSHOT_UNSUPPORTED: 5,
  // 6: a script
  SCRIPT_START: 6,
  SCRIPT_FAILED: 6,
  SCRIPT_SIGNALLED: 6,
  SCRIPT_CLOSED_INPUT: 6,
  HOOK_FAILED: 6,
  // 7: data that is not what it should be
  DUMP_DAMAGED: 7,
  DUMP_MISSING: 7,
  MANIFEST_DAMAGED: 7,
  MANIFEST_VERSION: 7,
  MAP_DAMAGED: 7,
  PACK_MISSING: 7,
  CONFIG_DAMAGED: 7,
  NATIVE_DAMAGED: 7,
  CODEC_UNKNOWN: 7,
  FRAMES_UNKNOWN: 7,
  REHEARSAL_FAILED: 7,
  // 7, too: encrypted data, and what it is read or checked with
  IDENTITY_NEEDED: 7,
  IDENTITY_MISMATCH: 7,
  SIGNATURE_MISSING: 7,
  SIGNATURE_INVALID: 7,
  // 8: the store
  STORE_ADDRESS: 8,
  STORE_NOT_FOUND: 8,
  STORE_VERSION: 8,
  STORE_DENIED: 8,
  STORE_FULL: 8,
  STORE_UNAVAILABLE: 8,
  STORE_UNSUPPORTED: 8,
  STORE_FAILED: 8,
  STORE_TOO_SLOW: 8,
  // 8, too: the queue of a fleet
  QUEUE_UNAVAILABLE: 8,
  QUEUE_UNUSABLE: 8,
  // 9: nothing of that name, or more than one
  INSTANCE_NOT_FOUND: 9,
  INSTANCE_AMBIGUOUS: 9,
  EXPORT_NOT_FOUND: 9,
  EXPORT_INCOMPLETE: 9,
  NATIVE_UNKNOWN: 9,
  MOVE_NOT_FOUND: 9,
  MOVE_NOT_COMMITTED: 9,
  // 10: in use by somebody else, or taken
  BUSY: 10,
  INSTANCE_EXISTS: 10,
  EXPORT_EXISTS: 10,
  // 11: the machine
  STATE_UNUSABLE: 11,
  PLATFORM: 11,
  // 12: the peer of a move, or the connection to it
  PEER_UNAVAILABLE: 12,
  PEER_DENIED: 12,
  PEER_NO_GANTRY: 12,
  PEER_VERSION: 12,
  PEER_PROTOCOL: 12,
  PEER_REFUSED: 12,
  PEER_LOST: 12,
  PEER_STALLED: 12,
  PEER_FAILED: 12,
  // 13: only the peer knows whether the move was committed
  MOVE_UNDECIDED: 13,
  // 14: nobody confirmed that the disks may be overwritten
  CONFIRM_NEEDED: 14,
  // 15: the disks are complete, and what was to happen after that failed
  DEFINE_FAILED: 15,
  // 16: a part of what was asked for failed, and the rest is complete
  PARTLY_DONE: 16,
  // 17: what a policy promises is not so
  EXPORT_LATE: 17,
} as const;

export type GantryErrorCode = keyof typeof ERROR_EXIT_CODES;

export interface GantryErrorDetails {
  /** What failed, then why: a sentence without a full stop. Never contains a secret. */
  readonly message: string;
  /** What the user can do: a sentence with a full stop. */
  readonly hint?: string | undefined;
  /** The index of the disk that failed. */
  readonly disk?: number | undefined;
  /** More lines to show below the message: reasons, the last lines of a script, the state of each disk. */
  readonly details?: readonly string[] | undefined;
  readonly cause?: unknown;
}

/** What every operation of core rejects with, except when its signal is aborted: then it rejects with the reason of the signal. */
export class GantryError extends Error {
  override readonly name = 'GantryError';
  readonly code: GantryErrorCode;
  readonly hint: string | undefined;
  readonly disk: number | undefined;
  readonly details: readonly string[];

  constructor(code: GantryErrorCode, details: GantryErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.disk = details.disk;
    this.details = details.details ?? [];
  }

  /** The exit code that the command line ends with. */
  get exitCode(): number {
    return ERROR_EXIT_CODES[this.code];
  }
}
