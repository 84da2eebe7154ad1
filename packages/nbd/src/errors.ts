/** What can go wrong between a client and a server; the values are stable and may be switched on. */
export type NbdErrorCode =
  /** Nobody listens at the address, or it cannot be reached. */
  | 'unreachable'
  /** The peer breaks the protocol: the connection is closed. */
  | 'protocol'
  /** The server does not have this export. */
  | 'unknown-export'
  /** The server refuses: by policy, because it wants TLS, because it shuts down. */
  | 'refused'
  /** No answer within the time that the caller gave: the connection is closed. */
  | 'timeout'
  /** The connection ended, by the peer, the network or `close`. */
  | 'disconnected'
  /** The server failed this request; the connection stays usable. {@link NbdError.errno} says how. */
  | 'server-error'
  /** The peer cannot do what is needed, or this package cannot. */
  | 'unsupported'
  /** The caller asks for something that cannot be asked for: out of range, not aligned, a bad name. */
  | 'invalid-argument';

/** Everything that can be said of a failure besides its code. */
interface NbdErrorDetails {
  readonly cause?: unknown;
  /** The error value of the server's reply (doc/proto.md, "Error values"). */
  readonly errno?: number;
}

/** The only error, besides the reason of an aborted signal, with which this package rejects. */
export class NbdError extends Error {
  override readonly name = 'NbdError';
  readonly code: NbdErrorCode;
  readonly errno: number | undefined;

  constructor(code: NbdErrorCode, message: string, details: NbdErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.errno = details.errno;
  }
}

/** For use in a message of our own. Node's error for a host whose addresses all failed has no message: its text is that of each address. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const causes: readonly unknown[] = error instanceof AggregateError && error.message === '' ? error.errors : [];
  return error.message || causes.map(messageOf).join('; ') || error.name;
}

/** The peer broke the protocol. @param what completes "the NBD peer …" */
export function violation(what: string): NbdError {
  return new NbdError('protocol', `the NBD peer ${what}`);
}
