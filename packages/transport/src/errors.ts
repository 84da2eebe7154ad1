/** The failures of a store; the values are stable, so code may depend on them. */
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

/** The details of a failure. */
export interface StoreErrorDetails {
  /** What failed and why, in one sentence without a final stop. */
  readonly message: string;
  /** The key, prefix or token concerned. */
  readonly key?: string | undefined;
  /** What the user can do about it: one sentence. */
  readonly hint?: string | undefined;
  /** The underlying error, for logs. */
  readonly cause?: unknown;
}

/**
 * The error with which a store rejects, except for the reason of an aborted signal and errors of a given source.
 *
 * Only `unavailable` may be retried, and only for calls that can be replayed.
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
 * Whether `error` is a {@link StoreError}, with the given code if there is one. It is recognized by its name and code, because a
 * transport may come with its own copy of this package and thus another class.
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
