/** What an inventory can fail with; the values are stable and may be switched on. */
export type InventoryErrorCode =
  | 'ambiguous'
  | 'denied'
  | 'exists'
  | 'failed'
  | 'invalid-address'
  | 'not-found'
  | 'source-not-found'
  | 'unavailable';

export interface InventoryErrorDetails {
  /** What failed and why: one sentence without a final stop. Never a secret. */
  readonly message: string;
  /** What the user can do about it: a sentence, with its stop. */
  readonly hint?: string | undefined;
  /** More lines to show beneath the message, such as the instances that an ambiguous name may mean. */
  readonly details?: readonly string[] | undefined;
  /** The error underneath, for logs. */
  readonly cause?: unknown;
}

/**
 * The only error, besides the reason of an aborted signal, with which an inventory rejects. `not-found` and `ambiguous` are about the
 * name of an instance, `exists` about one that is to be defined, `source-not-found` about the place where instances would be described; `failed` is everything that has no
 * code of its own.
 */
export class InventoryError extends Error {
  override readonly name = 'InventoryError';
  readonly code: InventoryErrorCode;
  readonly hint: string | undefined;
  readonly details: readonly string[];

  constructor(code: InventoryErrorCode, details: InventoryErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.details = details.details ?? [];
  }
}

/**
 * Whether `error` is an {@link InventoryError}, with the given code where one is given. Told by what it says of itself: an inventory may
 * come with its own copy of this package, whose class is another one.
 */
export function isInventoryError(error: unknown, code?: InventoryErrorCode): error is InventoryError {
  if (!(error instanceof Error) || error.name !== 'InventoryError' || !('code' in error)) return false;
  return code === undefined ? CODES.has(error.code) : error.code === code;
}

const CODES: ReadonlySet<unknown> = new Set(
  Object.keys({
    ambiguous: true,
    denied: true,
    exists: true,
    failed: true,
    'invalid-address': true,
    'not-found': true,
    'source-not-found': true,
    unavailable: true,
  } satisfies Record<InventoryErrorCode, true>),
);
