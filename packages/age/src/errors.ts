/** What can go wrong; the values are stable and may be switched on. */
export type AgeErrorCode =
  /** A text is not a recipient, or the recipients cannot be together in one file. */
  | 'invalid-recipient'
  /** A text is not an identity, or not of a kind that can be used here. */
  | 'invalid-identity'
  /** The file is encrypted to others: none of the identities fits. */
  | 'no-identity'
  /** The file is not what was written: its header or a part of its payload is damaged, cut or forged; or it is not of age. */
  | 'damaged';

/** The only error, besides those of a source and the reason of an aborted signal, with which this package rejects. Never has a secret in it. */
export class AgeError extends Error {
  override readonly name = 'AgeError';
  readonly code: AgeErrorCode;

  constructor(code: AgeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
