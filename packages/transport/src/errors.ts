/** What a store can fail with; the values are stable and may be switched on. */
export type StoreErrorCode =
  | 'not-found'
  | 'exists'
  | 'invalid-key'
  | 'invalid-range'
  | 'invalid-address'
  | 'denied'
  | 'integrity'
  | 'full'
  | 'unavailable'
  | 'unsupported';

/** Everything that can be said of a failure besides its code. */
export interface StoreErrorDetails {
  /** What was being done, to what, and what happened: one sentence without a final stop. */
  readonly message: string;
  /** The key (or prefix, or token) that it happened to. */
  readonly key?: string | undefined;
  /** What the user can do about it: one sentence. */
  readonly hint?: string | undefined;
  /** The error underneath, for logs. */
  readonly cause?: unknown;
}

/**
 * The only error, besides the reason of an aborted signal, with which a store rejects.
 *
 * `unavailable` alone may be tried again, and only for what can be replayed.
 */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  readonly key: string | undefined;
  readonly hint: string | undefined;

  constructor(code: StoreErrorCode, details: StoreErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.key = details.key;
    this.hint = details.hint;
  }
}

/**
 * Whether `error` is a {@link StoreError}, with the given code where one is given. Told by what it says of itself: a transport may
 * come with a copy of this package of its own, whose class is another one.
 */
export function isStoreError(error: unknown, code?: StoreErrorCode): error is StoreError {
  if (!(error instanceof Error) || error.name !== 'StoreError' || !('code' in error)) return false;
  return code === undefined ? CODES.has(error.code) : error.code === code;
}

const CODES: ReadonlySet<unknown> = new Set(
  Object.keys({
    'not-found': true,
    exists: true,
    'invalid-key': true,
    'invalid-range': true,
    'invalid-address': true,
    denied: true,
    integrity: true,
    full: true,
    unavailable: true,
    unsupported: true,
  } satisfies Record<StoreErrorCode, true>),
);
