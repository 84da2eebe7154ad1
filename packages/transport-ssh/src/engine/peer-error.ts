import type { StoreErrorCode } from '@gantry/transport';

/** What is known of a failure of the connection, or of the peer as a whole. */
export interface PeerErrorDetails {
  /** What happened: a clause without a final stop, such as `the peer closed the connection`. */
  readonly message: string;
  /** What the user can do about it: one sentence. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** A connection that could not be had, or that was lost. The store says what it was doing then, and to what. */
export class PeerError extends Error {
  override readonly name = 'PeerError';
  readonly code: StoreErrorCode;
  readonly hint: string | undefined;

  constructor(code: StoreErrorCode, { message, hint, cause }: PeerErrorDetails) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hint = hint;
  }
}
