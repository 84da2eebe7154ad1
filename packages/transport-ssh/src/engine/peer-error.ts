import type { StoreErrorCode } from '@gantry/transport';

/** The details of a failure of the connection or the peer. */
export interface PeerErrorDetails {
  /** What happened: a clause without a final stop, such as `the peer closed the connection`. */
  readonly message: string;
  /** What the user can do about it: one sentence. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** A connection that could not be made, or was lost. The store adds what it was doing. */
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
